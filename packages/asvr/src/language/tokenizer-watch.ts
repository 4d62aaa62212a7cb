import { ConfigError } from "../errors.js";
import { TookTooLong, withinSeconds } from "./within-seconds.js";

/** What a text may take, however short it is, and more for each of its characters. Ten times what is usual. */
const SECONDS = 2;
const SECONDS_A_CHARACTER = 20e-6;

/** What is shorter is done at once, unless a tokenizer has something that could take for ever. */
const SHORT = 1000;

/**
 * The clock over a stranger's tokenizer, whose file decides how much work a text is. A short text goes without it where
 * the file has nothing unusual: the clock takes longer than the text.
 */
export class TokenizerWatch {
  /** @param suspects what in the file could take for ever, in words */
  constructor(readonly suspects: readonly string[]) {}

  /** @throws ConfigError when it takes too long */
  run<T>(input: ArrayLike<unknown>, work: () => T): T {
    if (this.suspects.length === 0 && input.length < SHORT) return work();
    try {
      return withinSeconds(SECONDS + input.length * SECONDS_A_CHARACTER, work);
    } catch (cause) {
      if (!(cause instanceof TookTooLong)) throw cause;
      const reasons = this.suspects.length > 0 ? `; what may be the reason: ${this.suspects.join(", ")}` : "";
      throw new ConfigError(`tokenizer: ${cause.message} to tokenize an input of length ${input.length}${reasons}.`, {
        cause,
      });
    }
  }
}
