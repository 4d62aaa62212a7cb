/** Turns ids into text. */
type Decode = (ids: readonly number[]) => string;

/** Stands for bytes that are no UTF-8, or not yet. */
const REPLACEMENT = "\uFFFD";

/**
 * The text of ids that come one by one: a piece of text is given out once no later id can change it. All pieces joined
 * are the text of all the ids.
 *
 * Only the ids since the last text are decoded, behind one that stands for what came before: what a token becomes may
 * depend on whether it is the first.
 */
export class TextStream {
  readonly #decode: Decode;
  readonly #isSeen: (id: number) => boolean;
  #anchor: number[] = [];
  #pending: number[] = [];

  /** @param isSeen whether an id becomes text: a special token that is left out does not */
  constructor(decode: Decode, isSeen: (id: number) => boolean) {
    this.#decode = decode;
    this.#isSeen = isSeen;
  }

  /** @returns the text that is final with this id; often none, while a character's bytes are incomplete */
  push(id: number): string {
    if (!this.#isSeen(id)) return "";
    this.#pending.push(id);
    const text = this.#fresh();
    if (text.endsWith(REPLACEMENT)) return "";
    this.#anchor = [id];
    this.#pending = [];
    return text;
  }

  /** @returns the rest; after it the stream is as new */
  end(): string {
    const text = this.#pending.length === 0 ? "" : this.#fresh();
    this.#anchor = [];
    this.#pending = [];
    return text;
  }

  #fresh(): string {
    const before = this.#decode(this.#anchor);
    return this.#decode([...this.#anchor, ...this.#pending]).slice(before.length);
  }
}

/** As many characters as clean-up looks ahead, all its rules together, with room. */
const CLEAN_UP_REACH = 64;

/**
 * A text stream for tokenizers whose decoding ends with a clean-up of spaces, which may join what two tokens gave:
 * everything is decoded each time, and the end is held back.
 */
export class CleanedTextStream {
  readonly #decode: Decode;
  #ids: number[] = [];
  #given = 0;

  constructor(decode: Decode) {
    this.#decode = decode;
  }

  push(id: number): string {
    this.#ids.push(id);
    const text = this.#decode(this.#ids);
    return this.#give(text, text.length - CLEAN_UP_REACH);
  }

  end(): string {
    const text = this.#decode(this.#ids);
    const rest = this.#give(text, text.length);
    this.#ids = [];
    this.#given = 0;
    return rest;
  }

  #give(text: string, end: number): string {
    const fresh = text.slice(this.#given, Math.max(this.#given, end));
    this.#given += fresh.length;
    return fresh;
  }
}
