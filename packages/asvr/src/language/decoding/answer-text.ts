import type { TextStream } from "../text-stream.js";
import type { TextTokenizer } from "../tokenizer.js";

/**
 * The text of an answer as its tokens come: characters of several tokens are given when they are whole, and nothing of
 * a stop string is given, even where it reaches over several tokens.
 */
export class AnswerText {
  readonly #stream: Pick<TextStream, "push" | "end">;
  readonly #stops: readonly string[];
  /** Text that may be the beginning of a stop string. */
  #held = "";
  #isStopped = false;

  constructor(tokenizer: TextTokenizer, stops: readonly string[] = []) {
    this.#stream = tokenizer.stream({ skipSpecialTokens: true });
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** A stop string came: the answer is over. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** The text that is certain with this token. */
  add(id: number): string {
    return this.#isStopped ? "" : this.#certain(this.#stream.push(id));
  }

  /** What was held back, when no more tokens come. */
  end(): string {
    if (this.#isStopped) return "";
    const text = this.#certain(this.#stream.end());
    const rest = this.#held;
    this.#held = "";
    return this.#isStopped ? text : text + rest;
  }

  #certain(added: string): string {
    const text = this.#held + added;
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#isStopped = true;
      this.#held = "";
      return text.slice(0, Math.min(...found));
    }
    const kept = Math.max(0, ...this.#stops.map((stop) => beginningAtEnd(text, stop)));
    this.#held = text.slice(text.length - kept);
    return text.slice(0, text.length - kept);
  }
}

/** How many characters of the beginning of `stop` the text ends with. */
function beginningAtEnd(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
