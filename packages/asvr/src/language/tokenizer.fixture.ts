import type { TextTokenizer } from "./tokenizer.js";

/** The text of ids as a stream gives it, piece by piece. */
export function streamed(
  tokenizer: TextTokenizer,
  ids: readonly number[],
  options: { skipSpecialTokens?: boolean } = {},
): string {
  const stream = tokenizer.stream(options);
  return ids.map((id) => stream.push(id)).join("") + stream.end();
}
