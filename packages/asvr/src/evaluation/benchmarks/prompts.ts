/** The sentences that the paper's Table 5 puts behind the questions, and the lists of options. */
import { isGiven, letterOf } from "../scoring/options.js";

export const SINGLE_WORD = "Answer the question using a single word or phrase.";
export const SINGLE_NUMBER = "Answer the question using a single number or phrase.";
export const SHORT_ANSWER = "Give the short answer directly.";
/** Table 5 prints a curly apostrophe; the code that was run has this one. */
export const OPTION_LETTER = "Answer with the option's letter from the given choices directly.";

/** `A. first`, `B. second`, a line each. */
export function optionLines(options: readonly string[]): string {
  return options.map((option, index) => `${letterOf(index)}. ${option}`).join("\n");
}

/** Options by their letters, where some may be absent. */
export type LetterOptions = Partial<Record<string, string>>;

export function letterLines(options: LetterOptions): string {
  return Object.entries(options)
    .map(([letter, text]) => `${letter}. ${text}`)
    .join("\n");
}

/** Columns A, B, C … without those that are absent. */
export function givenOptions(row: Readonly<Record<string, string | null | undefined>>): Record<string, string> {
  const given = Object.entries(row).filter((entry): entry is [string, string] => isGiven(entry[1]));
  return Object.fromEntries(given);
}
