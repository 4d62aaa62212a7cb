/** Answers that must be equal, once both are made plain: ChartQA, GQA, AI2D, RealWorldQA, MMMU, SEED. */
import { cambrianLetter, cambrianTail, lmmsLetter } from "./choices.js";
import { ASCII_PUNCTUATION, length, parseFloatPython, SPACE, strip, stripEnd, words } from "./python-text.js";

const TOLERANCE = 0.05;

/** ChartQA's relaxed correctness: numbers within 5% of a target that is not zero, everything else by its text. */
export function relaxedMatch(prediction: string, target: string): boolean {
  const said = withPercent(prediction);
  const gold = withPercent(target);
  if (said !== undefined && gold !== undefined && gold !== 0)
    return Math.abs(said - gold) / Math.abs(gold) <= TOLERANCE;
  return prediction.toLowerCase() === target.toLowerCase();
}

function withPercent(text: string): number | undefined {
  if (!text.endsWith("%")) return parseFloatPython(text);
  const value = parseFloatPython(stripEnd(text, "%"));
  return value === undefined ? undefined : value / 100;
}

/** Cambrian's: no percent signs, and zero needs zero. */
export function relaxedMatchCambrian(prediction: string, target: string): boolean {
  const said = parseFloatPython(prediction);
  const gold = parseFloatPython(target);
  if (said === undefined || gold === undefined) return prediction.toLowerCase() === target.toLowerCase();
  return Math.abs(said - gold) <= TOLERANCE * Math.abs(gold);
}

/** GQA in Cambrian and LLaVA: only case and final periods are forgiven. */
export function gqaMatch(prediction: string, target: string): boolean {
  return stripEnd(prediction.toLowerCase(), ".") === target.toLowerCase();
}

/**
 * lmms-eval's exact match that ignores case and ASCII punctuation, on both sides. NumPy lower-cases there, which never
 * makes a text longer: of the two code points that `İ` becomes it keeps one.
 */
export function punctuationBlindMatch(prediction: string, target: string): boolean {
  const lower = (text: string) => [...text.toLowerCase()].slice(0, length(text)).join("");
  const plain = (text: string) => lower(text).replace(ASCII_PUNCTUATION, "");
  return plain(prediction) === plain(target);
}

/** AI2D in Cambrian. @param target index of the right option, as text */
export function ai2dMatch(prediction: string, target: string): boolean {
  const letter = cambrianLetter(prediction);
  const index = letter === "" ? -1 : "abcd".indexOf(letter);
  return (index >= 0 ? String(index) : letter) === target;
}

const leadingLetter = new RegExp(`^[${SPACE}]*([A-Z])\\.`, "u");

/** AI2D in lmms-eval: a capital letter with a period in front, else the whole response. */
export function ai2dMatchLmms(prediction: string, target: string): boolean {
  const said = leadingLetter.exec(prediction)?.[1] ?? prediction;
  return punctuationBlindMatch(said, String.fromCharCode(65 + Number(target)));
}

/** RealWorldQA in Cambrian: the word that is compared; undefined where there is none (the reference fails). */
export function realWorldWord(prediction: string): string | undefined {
  return words(stripEnd(strip(cambrianTail(prediction)), "."))[0];
}

export function realWorldMatch(prediction: string, target: string): boolean {
  return realWorldWord(prediction) === target.toLowerCase();
}

/** RealWorldQA in lmms-eval: letters are looked for, other answers must be the whole response. */
export function realWorldMatchLmms(prediction: string, target: string): boolean {
  const gold = strip(target);
  if (/^[A-Z]$/i.test(gold)) return lmmsLetter(prediction) === gold.toUpperCase();
  return stripEnd(strip(prediction.toLowerCase()), ".") === gold.toLowerCase();
}

/** MMMU in Cambrian. Of an open question the tolerance is 5% of the PREDICTION: the reference swaps its arguments. */
export function mmmuMatch(prediction: string, target: string, type: string): boolean {
  const gold = target.toLowerCase();
  if (type === "multiple-choice") return cambrianLetter(prediction) === gold;
  const text = stripEnd(strip(cambrianTail(prediction)), ".");
  if (text === gold) return true;
  const said = parseFloatPython(text);
  const value = parseFloatPython(gold);
  return said !== undefined && value !== undefined && Math.abs(value - said) <= TOLERANCE * Math.abs(said);
}

/** SEED in lmms-eval: the first character, whatever its case. */
export function seedMatchLmms(prediction: string, target: string): boolean {
  const [first = ""] = strip(prediction);
  return first.toLowerCase() === strip(target).toLowerCase();
}
