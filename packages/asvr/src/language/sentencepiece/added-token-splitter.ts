import type { AddedToken } from "../tokenizer-engine.js";
import { PrefixMatcher } from "./prefix-matcher.js";

/** Cuts added tokens out of a text, the longest one where several begin, as transformers does. */
export class AddedTokenSplitter {
  readonly #tokens: ReadonlyMap<string, AddedToken>;
  readonly #matcher: PrefixMatcher;

  constructor(tokens: readonly AddedToken[]) {
    this.#tokens = new Map(tokens.map((token) => [token.content, token]));
    this.#matcher = new PrefixMatcher(this.#tokens.keys());
  }

  /** The text's parts in order: texts, none of them empty, and tokens. */
  split(text: string): (string | AddedToken)[] {
    const parts = this.#cut(text);
    for (const [index, part] of parts.entries()) {
      const token = this.#tokens.get(part);
      if (token === undefined) continue;
      const left = parts[index - 1] ?? "";
      const right = parts[index + 1] ?? "";
      if (token.rstrip && right !== "") parts[index + 1] = right.trimStart();
      if (token.lstrip && left !== "") parts[index - 1] = left.trimEnd();
      if (!token.single_word) continue;
      // A neighbour that is a token is one no longer, once this one is joined to it: so does transformers.
      if (left !== "" && !left.endsWith(" ")) {
        parts[index - 1] += part;
        parts[index] = "";
      } else if (right !== "" && !right.startsWith(" ")) {
        parts[index + 1] = part + right;
        parts[index] = "";
      }
    }
    return parts.filter((part) => part !== "").map((part) => this.#tokens.get(part) ?? part);
  }

  #cut(text: string): string[] {
    const parts: string[] = [];
    let start = 0;
    for (let at = 0; at < text.length; ) {
      const length = this.#matcher.longestAt(text, at);
      if (length === 0) {
        at += 1;
        continue;
      }
      if (at > start) parts.push(text.slice(start, at));
      parts.push(text.slice(at, at + length));
      at += length;
      start = at;
    }
    if (start < text.length) parts.push(text.slice(start));
    return parts;
  }
}
