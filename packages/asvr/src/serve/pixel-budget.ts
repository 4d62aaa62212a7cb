/**
 * The pixels that all requests of a server hold together. One request decodes at a time, in the order of asking, and it
 * begins when the others hold less than the budget: however many wait, memory is that of the budget and one request.
 */
export class PixelBudget {
  #held = 0;
  #last: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};

  constructor(readonly pixels: number) {}

  /** Of pictures that were decoded and are not given back. */
  get held(): number {
    return this.#held;
  }

  /**
   * Runs `decode` when its turn comes. What it says to hold counts until `release` is called, once for each request.
   * @throws what `decode` throws, and the signal's reason where that comes first
   */
  async decode<T>(
    decode: (hold: (pixels: number) => void) => Promise<T>,
    signal: AbortSignal,
  ): Promise<{ result: T; release: () => void }> {
    const before = this.#last;
    let done = () => {};
    this.#last = new Promise((resolve) => {
      done = resolve;
    });
    let own = 0;
    const release = () => {
      this.#held -= own;
      own = 0;
      this.#wake();
    };
    try {
      await before;
      while (this.#held >= this.pixels && !signal.aborted) await this.#change(signal);
      signal.throwIfAborted();
      const result = await decode((pixels) => {
        own += pixels;
        this.#held += pixels;
      });
      return { result, release };
    } catch (error) {
      release();
      throw error;
    } finally {
      done();
    }
  }

  /** When pixels were given back, or the signal came. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }
}
