/** Average normalised Levenshtein similarity (DocVQA), 0 to 1 for one question. */
import { distance } from "fastest-levenshtein";
import { length, strip, words } from "./python-text.js";

const THRESHOLD = 0.5;

/**
 * As lmms-eval has it. The length that divides is that of the strings as given, after upper-casing: `ß` counts two, and
 * outer or double spaces count although the distance ignores them.
 */
export function anls(prediction: string, answers: readonly string[]): number {
  const said = squeezed(prediction);
  const ratios = answers.map((answer) => {
    const longest = Math.max(length(answer.toUpperCase()), length(prediction.toUpperCase()));
    return longest === 0 ? 0 : editDistance(said, squeezed(answer)) / longest;
  });
  return aboveThreshold(1 - Math.min(...ratios));
}

/** As Cambrian's copy of the M4C evaluator has it: inner white space counts. Two empty strings are equal. */
export function anlsM4c(prediction: string, answers: readonly string[]): number {
  const said = strip(prediction.toLowerCase());
  const similarities = answers.map((answer) => {
    const gold = strip(answer.toLowerCase());
    const longest = Math.max(length(said), length(gold));
    return longest === 0 ? 1 : aboveThreshold(1 - editDistance(said, gold) / longest);
  });
  return Math.max(...similarities);
}

function squeezed(text: string): string {
  return words(text.toLowerCase()).join(" ");
}

function aboveThreshold(similarity: number): number {
  return similarity < THRESHOLD ? 0 : similarity;
}

/** In code points, where `distance` counts UTF-16 units. */
function editDistance(a: string, b: string): number {
  const units = new Map<string, string>();
  const inUnits = (text: string) => {
    for (const point of text) if (!units.has(point)) units.set(point, String.fromCharCode(units.size));
    return Array.from(text, (point) => units.get(point)!).join("");
  };
  return distance(inUnits(a), inUnits(b));
}
