import type { buildTokenizer } from "./tokenizer.js";

type WordTokenizer = ReturnType<typeof buildTokenizer>;

/** New words that get a token of their own; the rest is said byte by byte. */
export const MOST_NEW_WORDS = 4096;
/** A longer one is a number, an address or noise: its bytes do. */
const LONGEST_WORD = 32;

/**
 * A tokenizer of whole words (the micro world's, or an earlier result) with the words of other texts added behind its
 * own, the commonest first. Ids that it had stay as they are.
 * @param most of the new words at most
 */
export function withWords(tokenizer: WordTokenizer, texts: Iterable<string>, most: number): WordTokenizer {
  const { vocab } = tokenizer.model;
  const pattern = new RegExp(tokenizer.pre_tokenizer.pattern.Regex, "gu");
  const special = new Set(tokenizer.added_tokens.map(({ content }) => content));
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const part of splitAt(text, special)) {
      for (const [piece] of ` ${part.replaceAll("\n", "\n ")}`.matchAll(pattern)) {
        if (!Object.hasOwn(vocab, piece) && piece.length <= LONGEST_WORD) {
          counts.set(piece, (counts.get(piece) ?? 0) + 1);
        }
      }
    }
  }
  const added = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, most);
  const extended = structuredClone(tokenizer);
  let next = Math.max(...Object.values(vocab)) + 1;
  for (const [piece] of added) extended.model.vocab[piece] = next++;
  return extended;
}

/**
 * Whose embedding an added word begins with: the same word's in another case or without its space, where the first
 * `known` ids have it.
 * @returns by the new word's id, the old one's; words without such a relative are left out
 */
export function relatives(vocab: Readonly<Record<string, number>>, known: number): Map<number, number> {
  const found = new Map<number, number>();
  for (const [piece, id] of Object.entries(vocab)) {
    if (id < known) continue;
    const forms = [` ${piece}`, piece.toLowerCase(), ` ${piece.toLowerCase()}`];
    const relative = forms.find((form) => Object.hasOwn(vocab, form) && vocab[form]! < known);
    if (relative !== undefined) found.set(id, vocab[relative]!);
  }
  return found;
}

function splitAt(text: string, marks: ReadonlySet<string>): string[] {
  let parts = [text];
  for (const mark of marks) parts = parts.flatMap((part) => part.split(mark));
  return parts;
}
