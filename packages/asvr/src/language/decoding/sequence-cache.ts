import { type DType, F, keep, type Tensor, tidy } from "@asvr/torch";

/** Sizes of a cache: those of the language model whose keys and values it holds. */
export interface CacheShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly dtype: DType;
  readonly device: string;
}

const STEP = 64; // tokens

interface Layer {
  /** (1, kvHeads, capacity, headDim), as `value` */
  readonly key: Tensor;
  readonly value: Tensor;
}

/**
 * Keys and values of the tokens that one sequence has seen. What is added is written in place; memory grows by half of
 * itself, so that a token costs its own bytes and not those of all before it. Owns its tensors.
 */
export class SequenceCache implements Disposable {
  #layers: Layer[] = [];
  #capacity = 0;
  #length = 0;

  constructor(readonly shape: CacheShape) {}

  /** Tokens that it holds. */
  get length(): number {
    return this.#length;
  }

  /** Makes room for `tokens` more, at the least. */
  reserve(tokens: number): void {
    const wanted = this.#length + tokens;
    if (wanted <= this.#capacity) return;
    this.#resize(roomFor(Math.max(wanted, Math.min(1.5 * this.#capacity, wanted + 1024))));
  }

  /**
   * Writes keys and values of new tokens of a layer behind those it has, within what was reserved. They count when all
   * layers have them: `advance`.
   * @param key (1, kvHeads, tokens, headDim), as `value`
   * @returns views of all keys and values, the new ones included, from the token `from` on
   */
  write(layer: number, key: Tensor, value: Tensor, from: number): { key: Tensor; value: Tensor } {
    const whole = this.#layers[layer]!;
    const count = key.size(2);
    whole.key.narrow(2, this.#length, count).copy_(key);
    whole.value.narrow(2, this.#length, count).copy_(value);
    const seen = this.#length + count - from;
    return { key: whole.key.narrow(2, from, seen), value: whole.value.narrow(2, from, seen) };
  }

  advance(tokens: number): void {
    this.#length += tokens;
  }

  /** A copy of the first tokens, to go on from on its own. */
  fork(tokens = this.#length): SequenceCache {
    const copy = new SequenceCache(this.shape);
    copy.#capacity = roomFor(tokens + 1);
    copy.#layers = this.#copied(tokens, copy.#capacity);
    copy.#length = tokens;
    return copy;
  }

  /** The first layer whose keys or values are not all numbers. */
  get firstNonFinite(): number | undefined {
    if (this.#length === 0) return undefined;
    const holdsNumbers = (tensor: Tensor) =>
      tidy(() => tensor.narrow(2, 0, this.#length).isfinite().all().item() !== 0);
    const layer = this.#layers.findIndex(({ key, value }) => !holdsNumbers(key) || !holdsNumbers(value));
    return layer < 0 ? undefined : layer;
  }

  /** Bytes of its memory. */
  get bytes(): number {
    const elementBytes = this.shape.dtype === "float32" ? 4 : this.shape.dtype === "float64" ? 8 : 2;
    return 2 * this.shape.layers * this.shape.kvHeads * this.#capacity * this.shape.headDim * elementBytes;
  }

  [Symbol.dispose](): void {
    this.#free();
    this.#layers = [];
    this.#capacity = 0;
    this.#length = 0;
  }

  #resize(capacity: number): void {
    const grown = this.#copied(this.#length, capacity);
    this.#free();
    this.#layers = grown;
    this.#capacity = capacity;
  }

  #copied(tokens: number, capacity: number): Layer[] {
    const { layers, kvHeads, headDim, dtype, device } = this.shape;
    const copy = (old: Tensor | undefined) => {
      const empty = keep(F.empty([1, kvHeads, capacity, headDim], dtype, device));
      if (old && tokens > 0) tidy(() => void empty.narrow(2, 0, tokens).copy_(old.narrow(2, 0, tokens)));
      return empty;
    };
    return Array.from({ length: layers }, (_, layer) => {
      const old = this.#layers[layer];
      return { key: copy(old?.key), value: copy(old?.value) };
    });
  }

  #free(): void {
    for (const { key, value } of this.#layers) {
      key.dispose();
      value.dispose();
    }
  }
}

/** Sizes in steps, so that what one sequence gives back fits the next one. */
function roomFor(tokens: number): number {
  return STEP * Math.ceil(tokens / STEP);
}
