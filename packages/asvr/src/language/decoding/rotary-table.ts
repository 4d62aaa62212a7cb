import { type DType, F, keep, type Tensor, tensor, tidy } from "@asvr/torch";
import { headDimOf, type LlamaConfig } from "../llama.js";
import { type RotaryAngles, rotaryAngles, rotaryFrequencies } from "../rotary.js";

/** Tokens of one sequence that follow each other. */
export interface Span {
  /** Position of the first. */
  readonly start: number;
  readonly count: number;
}

/**
 * Rotary angles looked up instead of computed at each token. Frequencies that follow the length of a text ("dynamic")
 * follow that of each sequence, never its neighbours' in the batch. Owns its tensors.
 */
export class RotaryTable implements Disposable {
  readonly #config: LlamaConfig;
  readonly #headDim: number;
  readonly #dtype: DType;
  readonly #device: string;
  /** Of positions 0, 1, …: (positions, headDim) */
  #cos: Tensor | undefined;
  #signedSin: Tensor | undefined;

  constructor(config: LlamaConfig, { dtype, device }: { dtype: DType; device: string }) {
    this.#config = config;
    this.#headDim = headDimOf(config);
    this.#dtype = dtype;
    this.#device = device;
  }

  /** Of the tokens of all spans, one span after another. */
  at(spans: readonly Span[]): RotaryAngles {
    const { ropeScaling } = this.#config;
    const stretched = (span: Span) =>
      ropeScaling?.kind === "dynamic" && span.start + span.count > ropeScaling.originalLength;
    if (!spans.some(stretched)) return this.#lookUp(spans);
    const each = spans.map((span) => (stretched(span) ? this.#compute(span) : this.#lookUp([span])));
    return {
      cos: F.cat(
        each.map(({ cos }) => cos),
        1,
      ),
      signedSin: F.cat(
        each.map(({ signedSin }) => signedSin),
        1,
      ),
    };
  }

  [Symbol.dispose](): void {
    this.#cos?.dispose();
    this.#signedSin?.dispose();
    this.#cos = this.#signedSin = undefined;
  }

  #lookUp(spans: readonly Span[]): RotaryAngles {
    const longest = Math.max(...spans.map(({ start, count }) => start + count));
    if (longest > (this.#cos?.size(0) ?? 0)) this.#grow(longest);
    const positions = new Int32Array(spans.reduce((sum, { count }) => sum + count, 0));
    let at = 0;
    for (const { start, count } of spans) for (let i = 0; i < count; i++) positions[at++] = start + i;
    const rows = tensor(positions, { device: this.#device });
    const take = (table: Tensor) => table.indexSelect(0, rows).view([1, positions.length, 1, this.#headDim]);
    return { cos: take(this.#cos!), signedSin: take(this.#signedSin!) };
  }

  #grow(longest: number): void {
    const size = Math.max(256, 2 ** Math.ceil(Math.log2(longest)));
    const original = this.#config.ropeScaling?.kind === "dynamic" ? this.#config.ropeScaling.originalLength : size;
    tidy(() => {
      // Not beyond the length from which on dynamic frequencies are another sequence's own.
      const { cos, signedSin } = this.#compute({ start: 0, count: Math.min(size, original) });
      this[Symbol.dispose]();
      this.#cos = keep(cos.flatten(0, 2).contiguous());
      this.#signedSin = keep(signedSin.flatten(0, 2).contiguous());
    });
  }

  #compute({ start, count }: Span): RotaryAngles {
    const { ropeTheta, ropeScaling } = this.#config;
    const positions = F.arange(start, start + count, 1, "int64", this.#device).unsqueeze(0);
    const frequencies = rotaryFrequencies(positions, this.#headDim, ropeTheta, ropeScaling);
    return rotaryAngles(positions, frequencies, this.#dtype);
  }
}
