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
      if (typeof part === "string") continue;
      const [before, after] = [parts[index - 1], parts[index + 1]];
      const left = typeof before === "string" ? before : "";
      const right = typeof after === "string" ? after : "";
      if (part.rstrip && right !== "") parts[index + 1] = right.trimStart();
      if (part.lstrip && left !== "") parts[index - 1] = left.trimEnd();
      if (!part.single_word) continue;
      if (left !== "" && !left.endsWith(" ")) {
        parts[index - 1] = left + part.content;
        parts[index] = "";
      } else if (right !== "" && !right.startsWith(" ")) {
        parts[index + 1] = part.content + right;
        parts[index] = "";
      }
    }
    return parts.filter((part) => part !== "");
  }

  #cut(text: string): (string | AddedToken)[] {
    const parts: (string | AddedToken)[] = [];
    let start = 0;
    for (let at = 0; at < text.length; ) {
      const length = this.#matcher.longestAt(text, at);
      if (length === 0) {
        at += 1;
        continue;
      }
      if (at > start) parts.push(text.slice(start, at));
      parts.push(this.#tokens.get(text.slice(at, at + length))!);
      at += length;
      start = at;
    }
    if (start < text.length) parts.push(text.slice(start));
    return parts;
  }
}
