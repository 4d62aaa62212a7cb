import type { DType } from "../dtype.js";
import * as F from "../operators.generated.js";
import { keep } from "../scope.js";
import type { Tensor } from "../tensor.js";
import { Module, parameter, type StateEntry } from "./module.js";

/** PyTorch's default for linear and convolution weights and biases: uniform in ±1/sqrt(fan in). */
function uniformFanIn(fanIn: number): (tensor: Tensor) => void {
  const bound = 1 / Math.sqrt(fanIn);
  return (tensor) => void tensor.uniform_(-bound, bound);
}

let matmulDtype: DType | undefined;

/**
 * Lets the matrix products of Linear and FusedLinear run in a narrower dtype; their inputs, outputs, weights and
 * gradients stay as they are. On a processor with bfloat16 units that takes about half the time, at the precision of
 * mixed-precision training. `undefined`: in the dtype of the weights.
 */
export function setMatmulDtype(dtype: DType | undefined): void {
  matmulDtype = dtype;
}

/** x Wᵀ + b, the product in the dtype that `setMatmulDtype` chose. (…, in), (out, in), (out) -> (…, out) */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  if (matmulDtype === undefined) return F.linear(x, weight, bias);
  return F.linear(x.to(matmulDtype), weight.to(matmulDtype), bias?.to(matmulDtype)).to(x.dtype);
}

/** Products of many matrices at once, in that dtype too. (n, rows, k), (n, k, columns) -> (n, rows, columns) */
export function batchedProduct(left: Tensor, right: Tensor): Tensor {
  if (matmulDtype === undefined) return left.bmm(right);
  return left.to(matmulDtype).bmm(right.to(matmulDtype)).to(left.dtype);
}

/** y = x Wᵀ + b, initialised as PyTorch's. */
export class Linear extends Module {
  /** (outFeatures, inFeatures) */
  readonly weight: Tensor;
  /** (outFeatures) */
  readonly bias: Tensor | null;

  constructor(inFeatures: number, outFeatures: number, { bias = true }: { bias?: boolean } = {}) {
    super();
    this.weight = parameter([outFeatures, inFeatures], uniformFanIn(inFeatures));
    this.bias = bias ? parameter([outFeatures], uniformFanIn(inFeatures)) : null;
  }

  /** (…, inFeatures) -> (…, outFeatures) */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}

/** One of the maps of a FusedLinear, where they don't share their memory. */
interface Apart {
  weight: Tensor;
  bias: Tensor | null;
}

/**
 * Several linear maps of one input as one matrix product. In a checkpoint they stay apart, under their own names:
 * `new FusedLinear(dim, { q_proj: 64, k_proj: 16, v_proj: 16 })` is `q_proj.weight`, `k_proj.weight`, `v_proj.weight`.
 * Where `load` adopts their memory they stay apart here too, as a product each.
 */
export class FusedLinear extends Module {
  /** (sum of sizes, inFeatures); freed where the maps are apart */
  readonly weight: Tensor;
  /** (sum of sizes), likewise */
  readonly bias: Tensor | null;
  readonly #sizes: Readonly<Record<string, number>>;
  #apart: Record<string, Apart> | undefined;

  constructor(inFeatures: number, sizes: Readonly<Record<string, number>>, { bias = true }: { bias?: boolean } = {}) {
    super();
    this.#sizes = sizes;
    const outFeatures = Object.values(sizes).reduce((sum, size) => sum + size, 0);
    this.weight = parameter([outFeatures, inFeatures], uniformFanIn(inFeatures));
    this.bias = bias ? parameter([outFeatures], uniformFanIn(inFeatures)) : null;
  }

  /** All outputs side by side: (…, inFeatures) -> (…, sum of sizes) */
  forwardWhole(x: Tensor): Tensor {
    return this.#apart ? F.cat(this.forward(x), -1) : linear(x, this.weight, this.bias);
  }

  /** (…, inFeatures) -> one tensor (…, size) a name, in order: views of one result where the maps are together */
  forward(x: Tensor): Tensor[] {
    if (this.#apart) return Object.values(this.#apart).map(({ weight, bias }) => linear(x, weight, bias));
    return this.forwardWhole(x).splitWithSizes(Object.values(this.#sizes), -1);
  }

  /** The outputs from the `first` to the `last` of these names only, side by side. */
  forwardPart(x: Tensor, first: string, last = first): Tensor {
    const names = Object.keys(this.#sizes);
    const [from, to] = [names.indexOf(first), names.indexOf(last) + 1];
    if (this.#apart) {
      const apart = Object.values(this.#apart).slice(from, to);
      return F.cat(
        apart.map(({ weight, bias }) => linear(x, weight, bias)),
        -1,
      );
    }
    const sizeOf = (part: readonly string[]) => part.reduce((sum, name) => sum + this.#sizes[name]!, 0);
    const [start, size] = [sizeOf(names.slice(0, from)), sizeOf(names.slice(from, to))];
    return linear(x, this.weight.narrow(0, start, size), this.bias?.narrow(0, start, size));
  }

  override *stateEntries(prefix = ""): Generator<StateEntry> {
    if (this.#apart) return yield* this.#apartEntries(prefix, this.#apart);
    let start = 0;
    for (const [name, size] of Object.entries(this.#sizes)) {
      const from = start;
      const part = (whole: Tensor) => whole.narrow(0, from, size);
      const label = [prefix, name].filter(Boolean).join(".");
      const replace = (kind: keyof Apart) => (own: Tensor) => this.#replace(name, kind, own);
      yield { name: `${label}.weight`, tensor: this.weight, part, replace: replace("weight") };
      if (this.bias) yield { name: `${label}.bias`, tensor: this.bias, part, replace: replace("bias") };
      start += size;
    }
    if (!this.#apart) return;
    // Their parts hold what is still needed of them.
    this.weight.dispose();
    this.bias?.dispose();
  }

  *#apartEntries(prefix: string, apart: Readonly<Record<string, Apart>>): Generator<StateEntry> {
    for (const [name, { weight, bias }] of Object.entries(apart)) {
      const label = [prefix, name].filter(Boolean).join(".");
      yield { name: `${label}.weight`, tensor: weight };
      if (bias) yield { name: `${label}.bias`, tensor: bias };
    }
  }

  #replace(name: string, kind: keyof Apart, own: Tensor): void {
    this.#apart ??= this.#split();
    this.#apart[name]![kind]!.dispose();
    this.#apart[name]![kind] = own;
  }

  /** Views of the fused tensors, each to be trained or replaced by itself. */
  #split(): Record<string, Apart> {
    let start = 0;
    const partOf = (whole: Tensor, size: number) =>
      keep(whole.detach().narrow(0, start, size)).setRequiresGrad(whole.requiresGrad);
    const entries = Object.entries(this.#sizes).map(([name, size]): [string, Apart] => {
      const part = { weight: partOf(this.weight, size), bias: this.bias && partOf(this.bias, size) };
      start += size;
      return [name, part];
    });
    return Object.fromEntries(entries);
  }
}

/** A table of vectors, initialised N(0, standardDeviation²). */
export class Embedding extends Module {
  /** (count, dim) */
  readonly weight: Tensor;

  constructor(count: number, dim: number, { standardDeviation = 1 } = {}) {
    super();
    this.weight = parameter([count, dim], (tensor) => void tensor.normal_(0, standardDeviation));
  }

  /** int64 (…), each in [0, count) -> (…, dim) */
  forward(ids: Tensor): Tensor {
    return F.embedding(this.weight, ids);
  }
}

/** (x − mean) / sqrt(variance + epsilon) · weight + bias over the last dimension. */
export class LayerNorm extends Module {
  /** (dim) */
  readonly weight: Tensor;
  /** (dim) */
  readonly bias: Tensor;

  constructor(
    readonly dim: number,
    readonly epsilon = 1e-5,
  ) {
    super();
    this.weight = parameter([dim], (tensor) => void tensor.fill_(1));
    this.bias = parameter([dim], (tensor) => void tensor.zero_());
  }

  /** (…, dim) -> (…, dim) */
  forward(x: Tensor): Tensor {
    return F.layerNorm(x, [this.dim], this.weight, this.bias, this.epsilon);
  }
}

/** x / sqrt(mean(x²) + epsilon) · weight over the last dimension. */
export class RMSNorm extends Module {
  /** (dim) */
  readonly weight: Tensor;

  constructor(
    readonly dim: number,
    readonly epsilon = 1e-6,
  ) {
    super();
    this.weight = parameter([dim], (tensor) => void tensor.fill_(1));
  }

  /** (…, dim) -> (…, dim) */
  forward(x: Tensor): Tensor {
    return F.rmsNorm(x, [this.dim], this.weight, this.epsilon);
  }
}

/** As LayerNorm, over the channels of a group and all places; weight and bias belong to a channel. */
export class GroupNorm extends Module {
  /** (channels) */
  readonly weight: Tensor;
  /** (channels) */
  readonly bias: Tensor;

  constructor(
    readonly groups: number,
    channels: number,
    readonly epsilon = 1e-5,
  ) {
    super();
    this.weight = parameter([channels], (tensor) => void tensor.fill_(1));
    this.bias = parameter([channels], (tensor) => void tensor.zero_());
  }

  /** (batch, channels, …) -> same; the groups must divide the channels */
  forward(x: Tensor): Tensor {
    return F.groupNorm(x, this.groups, this.weight, this.bias, this.epsilon);
  }
}

/** A convolution with a square kernel; stride 1 and padding 0 by default. */
export class Conv2d extends Module {
  /** (outChannels, inChannels, kernel, kernel) */
  readonly weight: Tensor;
  /** (outChannels) */
  readonly bias: Tensor | null;

  constructor(
    inChannels: number,
    outChannels: number,
    readonly kernel: number,
    readonly options: { stride?: number; padding?: number; bias?: boolean } = {},
  ) {
    super();
    const fanIn = inChannels * kernel * kernel;
    this.weight = parameter([outChannels, inChannels, kernel, kernel], uniformFanIn(fanIn));
    this.bias = (options.bias ?? true) ? parameter([outChannels], uniformFanIn(fanIn)) : null;
  }

  /** (batch, inChannels, height, width) -> (batch, outChannels, height', width') */
  forward(x: Tensor): Tensor {
    return F.conv2d(x, this.weight, this.bias, this.options.stride ?? 1, this.options.padding ?? 0);
  }
}

/** The transpose of a convolution with a square kernel: stride 1 by default, no padding. */
export class ConvTranspose2d extends Module {
  /** (inChannels, outChannels, kernel, kernel) */
  readonly weight: Tensor;
  /** (outChannels) */
  readonly bias: Tensor;

  constructor(
    inChannels: number,
    outChannels: number,
    readonly kernel: number,
    readonly options: { stride?: number } = {},
  ) {
    super();
    const fanIn = outChannels * kernel * kernel; // as PyTorch counts it
    this.weight = parameter([inChannels, outChannels, kernel, kernel], uniformFanIn(fanIn));
    this.bias = parameter([outChannels], uniformFanIn(fanIn));
  }

  /** (batch, inChannels, height, width) -> (batch, outChannels, (height - 1) · stride + kernel, …) */
  forward(x: Tensor): Tensor {
    return F.convTranspose2d(x, this.weight, this.bias, this.options.stride ?? 1);
  }
}
