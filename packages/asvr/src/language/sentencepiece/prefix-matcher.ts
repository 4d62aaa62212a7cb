import { ConfigError } from "../../errors.js";

/** Four times the longest token that is in use, which is of 128 spaces. Finding goes through all lengths that there are. */
const LONGEST = 512;

/** Finds the longest of many texts at a place of another. */
export class PrefixMatcher {
  readonly #texts: ReadonlySet<string>;
  /** The lengths of the texts that begin with a character, longest first. */
  readonly #lengths = new Map<string, number[]>();

  /** @throws ConfigError for a text that is too long to be a token */
  constructor(texts: Iterable<string>) {
    this.#texts = new Set(texts);
    const lengths = new Map<string, Set<number>>();
    for (const text of this.#texts) {
      if (text.length > LONGEST) {
        throw new ConfigError(
          `tokenizer: a token is ${text.length} characters long, beginning with ${JSON.stringify(text.slice(0, 20))}; the longest that can be used is ${LONGEST}.`,
        );
      }
      const first = text[0] ?? "";
      lengths.set(first, (lengths.get(first) ?? new Set()).add(text.length));
    }
    for (const [first, set] of lengths) {
      this.#lengths.set(
        first,
        [...set].sort((a, b) => b - a),
      );
    }
  }

  /** The length of the longest text that stands at `at`; 0 for none. */
  longestAt(text: string, at: number): number {
    for (const length of this.#lengths.get(text[at]!) ?? []) {
      if (at + length <= text.length && this.#texts.has(text.slice(at, at + length))) return length;
    }
    return 0;
  }

  /** The lengths of all the texts that stand at `at`, shortest first. */
  allAt(text: string, at: number): number[] {
    const lengths = this.#lengths.get(text[at]!) ?? [];
    const fits = (length: number) => at + length <= text.length && this.#texts.has(text.slice(at, at + length));
    return lengths.filter(fits).reverse();
  }
}
