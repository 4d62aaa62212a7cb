import type { SequenceCache } from "../language/decoding/sequence-cache.js";

/** Tokens as a model read them; where it read a picture, numbers below zero that name it. */
export type Reading = readonly number[];

interface Kept {
  readonly reading: Reading;
  readonly cache: SequenceCache;
}

/** How many tokens two texts have in common at their beginning. */
export function commonLength(one: Reading, other: Reading): number {
  const most = Math.min(one.length, other.length);
  let length = 0;
  while (length < most && one[length] === other[length]) length++;
  return length;
}

/**
 * Keys and values of finished answers: a conversation's next turn begins with all of its last one, and the next question
 * about a picture with that picture. Kept while they fit into so many bytes, the last used longest. Owns them.
 */
export class PrefixStore implements Disposable {
  readonly #capacity: number;
  #kept: Kept[] = []; // in order of use

  /** @param capacity in bytes; a text that alone is larger is not kept */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Takes keys and values over; they are of the reading's beginning. */
  add(reading: Reading, cache: SequenceCache): void {
    const read = reading.slice(0, cache.length);
    // What is the beginning of another gives nothing that the other doesn't.
    const isPart = ({ reading: longer }: Kept) => commonLength(read, longer) === read.length;
    if (cache.length === 0 || cache.bytes > this.#capacity || this.#kept.some(isPart)) {
      cache[Symbol.dispose]();
      return;
    }
    for (const kept of [...this.#kept]) {
      if (commonLength(read, kept.reading) === kept.reading.length) this.#drop(kept);
    }
    this.#kept.push({ reading: read, cache });
    while (this.#bytes() > this.#capacity) this.#drop(this.#kept[0]!);
  }

  /** The longest beginning of a text that is kept: how many tokens, and a way to a copy of their keys and values. */
  find(reading: Reading): { length: number; fork(tokens: number): SequenceCache } {
    let best: Kept | undefined;
    let length = 0;
    for (const kept of this.#kept) {
      const common = commonLength(reading, kept.reading);
      if (common > length) [best, length] = [kept, common];
    }
    const fork = (tokens: number) => {
      this.#kept = [...this.#kept.filter((kept) => kept !== best), best!];
      return best!.cache.fork(tokens);
    };
    return { length, fork };
  }

  [Symbol.dispose](): void {
    for (const kept of [...this.#kept]) this.#drop(kept);
  }

  #bytes(): number {
    return this.#kept.reduce((sum, { cache }) => sum + cache.bytes, 0);
  }

  #drop(kept: Kept): void {
    this.#kept = this.#kept.filter((other) => other !== kept);
    kept.cache[Symbol.dispose]();
  }
}
