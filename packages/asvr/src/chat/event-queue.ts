/** Events of one source for one reader, who may come later or stop early. */
export class EventQueue<T> implements AsyncIterable<T> {
  readonly #events: T[] = [];
  readonly #onLeave: () => void;
  #wake: (() => void) | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isEnded = false;

  /** @param onLeave the reader stopped before the end */
  constructor(onLeave: () => void) {
    this.#onLeave = onLeave;
  }

  /** After the end: nothing. */
  push(event: T): void {
    if (this.#isEnded) return;
    this.#events.push(event);
    this.#wake?.();
  }

  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  /** The reader gets what came before, then this. */
  fail(error: unknown): void {
    if (this.#isEnded) return;
    this.#failure = { error };
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    try {
      for (;;) {
        if (this.#events.length > 0) yield this.#events.shift()!;
        else if (this.#failure) throw this.#failure.error;
        else if (this.#isEnded) return;
        else {
          await new Promise<void>((wake) => {
            this.#wake = wake;
          });
        }
      }
    } finally {
      if (!this.#isEnded) this.#onLeave();
    }
  }
}
