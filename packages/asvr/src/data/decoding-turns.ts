/**
 * Turns of decoding: many pictures together, or one alone. The decoder keeps the words of its errors for the whole
 * process, so a picture that fails beside others may get theirs, or none. Alone it gets its own.
 */
export class DecodingTurns {
  readonly #running = new Set<Promise<unknown>>();
  #alone: Promise<unknown> = Promise.resolve();

  /** Runs beside others, once nobody is alone or waits to be. */
  async together<T>(run: () => Promise<T>): Promise<T> {
    for (let awaited: unknown; awaited !== this.#alone; ) {
      awaited = this.#alone;
      await awaited;
    }
    const running = run();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Runs when all others have ended, and before any other begins. */
  alone<T>(run: () => Promise<T>): Promise<T> {
    const before = this.#alone;
    const turn = (async () => {
      await before;
      await Promise.allSettled(this.#running);
      return run();
    })();
    this.#alone = turn.catch(() => {}); // the caller gets the error
    return turn;
  }
}
