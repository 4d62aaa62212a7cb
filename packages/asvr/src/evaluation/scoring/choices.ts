/** The option that a response means: how Cambrian, lmms-eval and VLMEvalKit find its letter. */
import { afterLast, length, SPACE, strip, stripEnd, stripSigns, stripStart, words } from "./python-text.js";

const answerPhrases = ["answer is", "answer is:", "answer:"];

/** The lower-cased response from behind its last "answer is", "answer is:", "answer:", cut in this order. */
export function cambrianTail(text: string): string {
  return answerPhrases.reduce(afterLast, strip(text.toLowerCase()));
}

/** Cambrian's letter (MMBench, MMMU, AI2D): lower case, at most one character. */
export function cambrianLetter(text: string): string {
  return [...cambrianText(text)][0] ?? "";
}

/** Cambrian's letter (SEED): only final periods are taken off the end. */
export function cambrianLetterSeed(text: string): string {
  return [...withoutBrackets(stripEnd(strip(cambrianTail(text)), "."))][0] ?? "";
}

/** Cambrian's answer text (MMVP): as the letter, not cut. */
export function cambrianText(text: string): string {
  return withoutBrackets(stripEnd(strip(cambrianTail(text)), ".:,"));
}

function withoutBrackets(text: string): string {
  return stripEnd(stripStart(text, "("), ")");
}

const announced = [
  "answer",
  "correct answer",
  "best answer",
  "correct option",
  "best option",
  "choice",
  "correct choice",
];
const lmmsPhrases = [
  ...announced.flatMap((what) => [`the ${what} is`, `${what} is`]),
  "my answer is",
  "my choice is",
  "i choose",
  "i select",
  "i pick",
  ...["옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"],
];
/** How sure each form is of the letter that it holds. */
const confidence = { start: 10, end: 9, phrase: 7, parentheses: 6, period: 5, colon: 4, bracket: 3, space: 2 } as const;
const isAlphabetic = (point: string | undefined) => point !== undefined && /\p{L}/u.test(point);

/**
 * lmms-eval's shared extractor: the letter in the surest form, and of equally sure ones the last.
 * @returns upper case; empty where no letter was found
 */
export function lmmsLetter(response: string, letters: readonly string[] = [..."ABCDEFGH"]): string {
  if (strip(response) === "") return "";
  const plain = [...",.!?;:'\""].reduce((text, sign) => stripSigns(text, sign), strip(response));
  const text = ` ${plain} `;
  const found: { letter: string; at: number; sure: number }[] = [];
  const look = (sure: number, form: (letter: string) => string) => {
    for (const letter of letters) {
      const at = text.lastIndexOf(form(letter));
      if (at >= 0) found.push({ letter, at, sure });
    }
  };
  look(confidence.parentheses, (letter) => `(${letter})`);
  look(confidence.period, (letter) => `${letter}.`);
  look(confidence.colon, (letter) => `${letter}:`);
  look(confidence.bracket, (letter) => `${letter})`);
  look(confidence.space, (letter) => `${letter} `);
  const lower = text.toLowerCase();
  for (const phrase of lmmsPhrases) {
    const start = lower.indexOf(phrase);
    if (start < 0) continue;
    for (const letter of letters) {
      const at = text.indexOf(letter, start + phrase.length);
      if (at >= 0) found.push({ letter, at, sure: confidence.phrase });
    }
  }
  const points = [...strip(text)];
  for (const letter of letters) {
    if (points[0] === letter && !isAlphabetic(points[1])) found.push({ letter, at: 0, sure: confidence.start });
  }
  for (const letter of letters) {
    if (points.at(-1) === letter && !isAlphabetic(points.at(-2))) {
      found.push({ letter, at: text.length - 1, sure: confidence.end });
    }
  }
  if (found.length === 0) look(0, (letter) => letter);
  found.sort((a, b) => b.sure - a.sure || b.at - a.at);
  return found[0]?.letter ?? "";
}

const mmvpForms = [
  `^[${SPACE}]*\\(?([AB])\\)?\\.?[${SPACE}]*$`,
  `^[${SPACE}]*\\(?([AB])\\)?[.${SPACE}]`,
  `answer[${SPACE}]+is[${SPACE}]+\\(?([AB])\\)?`,
  `option[${SPACE}]+\\(?([AB])\\)?`,
  `\\(?([AB])\\)?(?:[${SPACE}]|$)`,
].map((form) => new RegExp(form, "iu"));

/** lmms-eval's letter of MMVP, A or B: any a or b before white space may be taken. Empty where there is none. */
export function lmmsLetterMmvp(response: string): string {
  const text = strip(response);
  for (const form of mmvpForms) {
    const letter = form.exec(text)?.[1];
    if (letter !== undefined) return letter.toUpperCase();
  }
  const first = text.slice(0, 1).toUpperCase();
  return first === "A" || first === "B" ? first : "";
}

/** Option letter -> its text. */
export type Choices = Readonly<Record<string, string>>;

const refusals = [
  "Sorry, I can't help with images of people yet.",
  "I can't process this file.",
  "I'm sorry, but without the image provided",
  "Cannot determine the answer",
];
const FAILED = "Failed to obtain answer via API";
const answerIs = new RegExp(`answer[${SPACE}]+is[${SPACE}]+\\**([ABCD])`, "iu");

/**
 * VLMEvalKit's matching without a judge. The version of early 2025, the paper's time, lacks three rules of 2026: the
 * letter among the last five words, "answer is X", and no option text in responses twice as long as all options.
 * @returns a letter; "Z" for a refusal; undefined where nothing can be inferred
 */
export function vlmEvalKitLetter(
  response: string,
  choices: Choices,
  version: "2026" | "2025" = "2026",
): string | undefined {
  return matchedLetter(response, Object.keys(choices), version) ?? matchedText(response, choices, version);
}

function matchedLetter(response: string, letters: readonly string[], version: "2026" | "2025"): string | undefined {
  if (response.includes(FAILED)) return undefined;
  if (refusals.some((refusal) => response.includes(refusal))) return "Z";
  const spoken = words(response.replace(/[.()[\],:;!*#{}]/g, " "));
  const present = letters.filter((letter) => spoken.includes(letter));
  const [only] = present;
  if (present.length === 1 && only !== undefined) {
    if (version === "2025" || spoken.indexOf(only) > spoken.length - 5) return only;
  } else if (present.length === 0 && spoken.includes("Z")) {
    return "Z";
  }
  const declared = version === "2026" ? answerIs.exec(response)?.[1]?.toUpperCase() : undefined;
  return declared !== undefined && letters.includes(declared) ? declared : undefined;
}

function matchedText(response: string, choices: Choices, version: "2026" | "2025"): string | undefined {
  const text = response.toLowerCase();
  const total = Object.values(choices).reduce((sum, choice) => sum + length(choice), 0);
  if (version === "2026" && length(text) > 2 * total) return undefined;
  return onlyMentioned(text, choices);
}

/** The letter of the one option whose text the lower-cased response holds. */
function onlyMentioned(text: string, choices: Choices): string | undefined {
  const mentioned = Object.keys(choices).filter((letter) => text.includes(choices[letter]!.toLowerCase()));
  return mentioned.length === 1 ? mentioned[0] : undefined;
}

const mmbenchForms = [
  ["", ""],
  ["", "."],
  ["", ","],
  ["", ":"],
  ["", ")"],
  ["", ")."],
  ["(", ")"],
  ["(", ")."],
  [":", ""],
  [":", ","],
  [":", "."],
  [":", ")"],
  [":", ")."],
] as const;

/**
 * lmms-eval's static rule of MMBench, without a judge: a letter that stands alone, else the one option whose text is
 * mentioned, else what its shared extractor finds (`**B**`, `[B]`, `\\boxed{B}`).
 * @returns undefined where nothing can be inferred, which counts as wrong
 */
export function lmmsLetterMmbench(response: string, choices: Choices): string | undefined {
  const inferred = standingLetter(response) ?? onlyMentioned(response.toLowerCase(), choices);
  return inferred ?? (lmmsLetter(response, Object.keys(choices).sort()) || undefined);
}

function standingLetter(response: string): string | undefined {
  if (response.includes(FAILED)) return undefined;
  const spoken = words(response);
  for (const [before, after] of mmbenchForms) {
    const present = [..."ABCDE"].filter((letter) => spoken.includes(before + letter + after));
    if (present.length !== 1) continue;
    const mayBeArticle = before + after === "" && present[0] === "A" && spoken.length > 3;
    if (!mayBeArticle) return present[0];
  }
  return undefined;
}
