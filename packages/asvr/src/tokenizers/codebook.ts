import { defaultDevice, F, nn, noGrad, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";

/** Where restarts and initialisations take their chance from: libtorch's generator, or numbers that a test gives. */
export interface Draws {
  /** A random order of 0 … count-1, int64. */
  permutation(count: number): Tensor;
  /** Uniform in [0, 1), float32. */
  noise(shape: readonly number[]): Tensor;
}

export const libtorchDraws: Draws = {
  permutation: (count) => F.randperm(count, undefined, defaultDevice()),
  noise: (shape) => F.rand(shape, undefined, defaultDevice()),
};

export interface CodebookUpdate {
  /** How much of the running averages a step keeps. */
  readonly decay: number;
  /** Smooths the averages of rarely used codes; default 1e-5. */
  readonly epsilon?: number;
  /** A code whose running count is below this starts again from a random vector; the released setting is 1. */
  readonly restartBelow: number | "never";
}

// Distances of this many pairs at a time: 729 positions x 16,384 codes would otherwise be 48 MB a picture.
const MAX_PAIRS = 1 << 22;

/**
 * A table of `size` vectors that follows its data by exponential moving averages (van den Oord et al., 2017, Appendix
 * A.1), without gradients. `weight` has a row more: padding, which is never chosen. Float32 whatever the model's dtype.
 */
export class Codebook extends nn.Module {
  /** (size + 1, dim) */
  readonly weight: Tensor;
  /** (size): running count of vectors by code. Null, like `embedEma`, in a codebook that doesn't learn. */
  readonly clusterSizeEma: Tensor | null;
  /** (size, dim): running sum of vectors by code. */
  readonly embedEma: Tensor | null;

  constructor(
    readonly size: number,
    readonly dim: number,
    readonly learning: CodebookUpdate | null,
  ) {
    super();
    this.weight = state([size + 1, dim], (weight) => {
      weight.normal_(0, 1 / Math.sqrt(dim));
      weight.select(0, size).zero_();
    });
    this.clusterSizeEma = learning && state([size], (count) => void count.zero_());
    this.embedEma = learning && state([size, dim], (sum) => void sum.copy_(this.weight.narrow(0, 0, size)));
  }

  /**
   * The nearest code of each vector, the first one where two are equally near.
   * @param vectors (n, dim), float32
   * @param rows only the first `rows` codes count
   * @returns (n), int64
   */
  nearest(vectors: Tensor, rows = this.size): Tensor {
    const codes = this.weight.narrow(0, 0, rows);
    const [squares, transposed] = [codes.square().sum(1), codes.t()];
    // |v|² is the same for all codes of a vector, so that |c|² - 2 v·c orders them as the distance does
    const search = (part: Tensor) => squares.addmm(part, transposed, 1, -2).argmin(1);
    const partSize = Math.max(1, Math.floor(MAX_PAIRS / rows));
    if (vectors.size(0) <= partSize) return search(vectors);
    return F.cat(vectors.split(partSize, 0).map((part) => tidy(() => search(part))));
  }

  /** codes (…), int64 -> vectors (…, dim) */
  vectors(codes: Tensor): Tensor {
    return F.embedding(this.weight, codes);
  }

  /**
   * Moves the codes towards the vectors that chose them; unused ones restart.
   * @param vectors (n, dim), float32
   * @param codes (n), int64
   * @throws ConfigError in a codebook that doesn't learn
   */
  update(vectors: Tensor, codes: Tensor, draws: Draws): void {
    const { clusterSizeEma, embedEma, learning, size, dim } = this;
    if (!clusterSizeEma || !embedEma || !learning) {
      throw new ConfigError("a codebook was asked to learn, but was made without `update` settings");
    }
    const { decay, epsilon = 1e-5, restartBelow } = learning;
    noGrad(() =>
      tidy(() => {
        const counts = codes.bincount(null, size).to("float32");
        const sums = F.zeros([size, dim], "float32", vectors.device).indexAdd_(0, codes, vectors);
        clusterSizeEma.mul_(decay).add_(counts, 1 - decay);
        embedEma.mul_(decay).add_(sums, 1 - decay);
        if (restartBelow !== "never") {
          const used = clusterSizeEma.ge(restartBelow);
          const fresh = drawRows(vectors, size, draws);
          embedEma.copy_(F.where(used.unsqueeze(1), embedEma, fresh));
          clusterSizeEma.copy_(F.where(used, clusterSizeEma, clusterSizeEma.onesLike()));
        }
        const total = clusterSizeEma.sum();
        const smoothed = clusterSizeEma
          .add(epsilon)
          .mul(total)
          .div(total.add(size * epsilon));
        this.weight.narrow(0, 0, size).copy_(embedEma.div(smoothed.unsqueeze(1)));
      }),
    );
  }

  /**
   * Overwrites codes `from` … `from + count - 1` with centres of the vectors: a random choice of them, improved by
   * `iterations` rounds of k-means. The running averages start as if each had been chosen once.
   * @param vectors (n, dim), float32
   */
  initialise(vectors: Tensor, from: number, count: number, iterations: number, draws: Draws): void {
    noGrad(() =>
      tidy(() => {
        const centres = this.weight.narrow(0, from, count);
        centres.copy_(drawRows(vectors, count, draws));
        for (let iteration = 0; iteration < iterations; iteration++) {
          tidy(() => {
            const codes = centres.square().sum(1).addmm(vectors, centres.t(), 1, -2).argmin(1);
            const counts = codes.bincount(null, count).to("float32").unsqueeze(1);
            const sums = centres.zerosLike().indexAdd_(0, codes, vectors);
            centres.copy_(F.where(counts.gt(0), sums.div(counts.clampMin(1)), centres));
          });
        }
        this.clusterSizeEma?.narrow(0, from, count).fill_(1);
        this.embedEma?.narrow(0, from, count).copy_(centres);
      }),
    );
  }
}

/**
 * `count` of the vectors in random order. Where there are too few, copies of them, told apart by a little noise.
 * (n, dim) -> (count, dim)
 */
function drawRows(vectors: Tensor, count: number, draws: Draws): Tensor {
  const [n, dim] = vectors.shape as [number, number];
  let pool = vectors;
  if (n < count) {
    const copies = vectors.repeat([Math.ceil(count / n), 1]);
    pool = copies.add(
      draws
        .noise(copies.shape)
        .to({ device: vectors.device })
        .mul(0.01 / Math.sqrt(dim)),
    );
  }
  const order = draws.permutation(pool.size(0)).to({ device: vectors.device });
  return pool.indexSelect(0, order.narrow(0, 0, count));
}

/** A float32 tensor that is saved but has no gradient. */
function state(shape: readonly number[], fill: (empty: Tensor) => void): Tensor {
  return nn.creating({ dtype: "float32" }, () => nn.buffer(nn.parameter(shape, fill).setRequiresGrad(false)));
}
