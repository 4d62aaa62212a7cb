/** The official MMMU parser: letters and open answers out of free text, and whether they are right. */
import type { Choices } from "./choices.js";
import { length, parseFloatPython, roundPython, strip, stripSigns, WORD, words } from "./python-text.js";

/**
 * The letter of a multiple-choice response.
 * @returns undefined where none is found: the reference then draws one at random, which is scored as wrong here
 */
export function mmmuLetter(response: string, choices: Choices): string | undefined {
  const letters = Object.keys(choices);
  const text = ` ${[...",.!?;:'"].reduce((rest, sign) => stripSigns(rest, sign), response)} `;
  const inBrackets = letters.filter((letter) => text.includes(`(${letter})`));
  if (inBrackets.length > 0) return lastOf(inBrackets, (letter) => text.lastIndexOf(`(${letter})`));
  for (const form of [" ", "."]) {
    const found = letters.filter((letter) => text.includes(letter + form));
    if (found.length > 0) return lastOf(found, (letter) => text.lastIndexOf(` ${letter} `));
  }
  if (words(text).length <= 5) return undefined;
  const lower = text.toLowerCase();
  const mentioned = letters.filter((letter) => lower.includes(choices[letter]!.toLowerCase()));
  return lastOf(mentioned, (letter) => lower.lastIndexOf(choices[letter]!.toLowerCase()));
}

/** The one with the greatest position; of equals the first. */
function lastOf(letters: readonly string[], position: (letter: string) => number): string | undefined {
  const positions = letters.map(position);
  return letters[positions.indexOf(Math.max(...positions))];
}

/** What an open response may mean: numbers to two decimals, and texts in lower case. Each once. */
export function mmmuCandidates(response: string): (string | number)[] {
  const keys = keyParts(response);
  const candidates = [...keys, ...keys.flatMap(numbersIn)].flatMap(normalized);
  return [...new Set(candidates)];
}

/** Whether one of the candidates is the answer, or holds it. */
export function mmmuOpenMatch(candidates: readonly (string | number)[], target: string | readonly string[]): boolean {
  const answers = (typeof target === "string" ? [target] : target).flatMap(normalized);
  return candidates.some((candidate) =>
    answers.some((answer) => {
      if (typeof candidate === "number") return candidate === answer;
      return typeof answer === "string" && candidate.includes(answer);
    }),
  );
}

const indicators = ["could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result "];
const trivial: ReadonlySet<string> = new Set([":", ",", ".", "!", "?", ";", "'"]);

/** Of each line the shortest tail behind a word that announces the answer; the whole response where there is none. */
function keyParts(response: string): string[] {
  const plain = stripSigns(strip(response), ".").toLowerCase();
  const lines = plain.split("\n"); // sentences are never cut: the reference looks for capitals in lower-cased text
  const parts = lines.flatMap((line, at) => {
    let shortest = "";
    for (const indicator of at === lines.length - 1 ? [...indicators, "="] : indicators) {
      if (!line.includes(indicator)) continue;
      const tail = strip(line.slice(line.lastIndexOf(indicator) + indicator.length));
      if (shortest === "" || length(tail) < length(shortest)) shortest = tail;
    }
    return shortest === "" || trivial.has(shortest) ? [] : [shortest];
  });
  return parts.length === 0 ? [plain] : parts;
}

const boundary = `(?:(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}]))`; // Python's \b
const digit = "\\p{Nd}";
const numberForms = [
  `-?${boundary}${digit}{1,3}(?:,${digit}{3})+${boundary}`,
  `-?${digit}+(?:\\.${digit}+)?[eE][+-]?${digit}+`,
  `-?(?:${digit}+\\.${digit}+|\\.${digit}+|${digit}+${boundary})(?![eE][+-]?${digit}+)(?![,\\p{Nd}])`,
].map((form) => new RegExp(form, "gu"));

function numbersIn(text: string): string[] {
  return numberForms.flatMap((form) => text.match(form) ?? []);
}

function normalized(text: string): (string | number)[] {
  const plain = strip(text);
  const value = parseFloatPython(plain.replaceAll(",", ""));
  if (value !== undefined) return [roundPython(value, 2)];
  const lower = plain.toLowerCase();
  return length(lower) === 1 ? [` ${lower}`, `${lower} `] : [lower]; // a single sign needs a space beside it
}
