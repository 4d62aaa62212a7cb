import { readSync } from "node:fs";

/** More would be an attempt to exhaust memory: the longest vocabularies take half of it. */
export const MAX_HEADER_BYTES = 32 << 20;

const FIRST_READ = 1 << 20;

/** The bytes of a file from its start on, read as they are asked for, each once. */
export class HeaderBytes {
  readonly #descriptor: number;
  readonly #fail: (problem: string) => never;
  #bytes = Buffer.alloc(0);
  #position = 0;

  /** @param fail throws: what is wrong with the file */
  constructor(
    descriptor: number,
    readonly fileBytes: number,
    fail: (problem: string) => never,
  ) {
    this.#descriptor = descriptor;
    this.#fail = fail;
  }

  /** Of the next byte to be read, from the start of the file. */
  get position(): number {
    return this.#position;
  }

  /** How many are left in the file. */
  get left(): number {
    return this.fileBytes - this.#position;
  }

  /** The next `count` bytes; `what` they are, for messages. */
  take(count: number, what: string): Buffer {
    if (count > this.left) {
      this.#fail(`${what} takes ${count} bytes from ${this.#position} on, but the file ends at ${this.fileBytes}`);
    }
    const end = this.#position + count;
    if (end > MAX_HEADER_BYTES) this.#fail(`its header is longer than ${MAX_HEADER_BYTES} bytes, at ${what}`);
    if (end > this.#bytes.length) this.#readTo(end);
    const taken = this.#bytes.subarray(this.#position, end);
    this.#position = end;
    return taken;
  }

  #readTo(end: number): void {
    const wanted = Math.min(this.fileBytes, Math.max(end, 2 * this.#bytes.length, FIRST_READ));
    const grown = Buffer.alloc(wanted);
    let filled = this.#bytes.copy(grown);
    while (filled < wanted) {
      const more = readSync(this.#descriptor, grown, filled, wanted - filled, filled);
      if (more === 0) break;
      filled += more;
    }
    if (filled < end) this.#fail(`it ended at ${filled} bytes while it was being read`);
    this.#bytes = grown.subarray(0, filled);
  }
}
