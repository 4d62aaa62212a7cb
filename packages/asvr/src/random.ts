/** 128 bits that name one stream of numbers. */
type Key = readonly [number, number, number, number];

const ROOT: Key = [1779033703, 3144134277, 1013904242, 2773480762];

/**
 * Seeded random numbers (xoshiro128**, Blackman and Vigna 2018), the same on every machine.
 *
 * `fork` derives a stream from this one's name and a label, never from how many numbers were drawn. So item i of a
 * split, made with `random.fork(split).fork(i)`, depends on (seed, split, i) alone: in any order, on any worker.
 */
export class Random {
  readonly #key: Key;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number | string, parent: Key = ROOT) {
    this.#key = hash(parent, String(seed));
    [this.#a, this.#b, this.#c, this.#d] = this.#key;
    if ((this.#a | this.#b | this.#c | this.#d) === 0) this.#a = 1; // the one state that xoshiro never leaves
  }

  /** The stream called `label` under this one. 3 and "3" are the same label. */
  fork(label: string | number): Random {
    return new Random(label, this.#key);
  }

  /** A whole number in [0, 2^32). */
  bits(): number {
    const result = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotate(this.#d, 11);
    return result;
  }

  /** A number in [0, 1) with 53 random bits. */
  uniform(): number {
    return ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) / 2 ** 53;
  }

  /**
   * A whole number in [0, n), each equally likely.
   * @throws RangeError when n is not a whole number in [1, 2^32]
   */
  int(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
      throw new RangeError(`Random.int: n is ${n}; it must be a whole number from 1 to 2^32.`);
    }
    const limit = 2 ** 32 - (2 ** 32 % n); // numbers above it would favour the small results
    let bits = this.bits();
    while (bits >= limit) bits = this.bits();
    return bits % n;
  }

  /**
   * One element, each equally likely.
   * @throws RangeError when the list is empty
   */
  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)] as T;
  }

  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(list: readonly T[]): T[] {
    const copy = [...list];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
    }
    return copy;
  }
}

function rotate(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits));
}

/** Mixes a label into a key: the public-domain cyrb128, started at the parent's key. */
function hash(parent: Key, label: string): Key {
  let [a, b, c, d] = parent;
  for (let i = 0; i <= label.length; i++) {
    const unit = i < label.length ? label.charCodeAt(i) : 0x10000; // the end counts too: "1", then "2" is not "12"
    a = b ^ Math.imul(a ^ unit, 597399067);
    b = c ^ Math.imul(b ^ unit, 2869860233);
    c = d ^ Math.imul(c ^ unit, 951274213);
    d = a ^ Math.imul(d ^ unit, 2716044179);
  }
  a = Math.imul(c ^ (a >>> 18), 597399067);
  b = Math.imul(d ^ (b >>> 22), 2869860233);
  c = Math.imul(a ^ (c >>> 17), 951274213);
  d = Math.imul(b ^ (d >>> 19), 2716044179);
  return [a ^ b ^ c ^ d, b ^ a, c ^ a, d ^ a];
}
