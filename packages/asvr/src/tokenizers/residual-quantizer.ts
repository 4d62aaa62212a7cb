import { DtypeError, F, nn, noGrad, ShapeError, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { Codebook, type CodebookUpdate, type Draws, libtorchDraws } from "./codebook.js";

export interface ResidualQuantizerConfig {
  /** Width of the vectors. */
  readonly dim: number;
  /** Codes in a codebook, without the padding row. */
  readonly codebookSize: number;
  /** D: how many codes describe a vector. */
  readonly depth: number;
  /** One codebook for all depths (the released tokenizers), or one for each. */
  readonly shared: boolean;
  /** How the codebooks learn; left out for a tokenizer that is only used. */
  readonly update?: CodebookUpdate & {
    /**
     * `rq_ema`: once, after all depths were looked up (DualToken's semantic codes). `rq`: inside every depth, so that
     * with a shared codebook the next depth searches an updated one (DualToken's appearance codes).
     */
    readonly kind: "rq_ema" | "rq";
    /**
     * Which residual the averages of a depth see, with `rq_ema`: `own`, the one that it quantized (the default), or
     * `last`, what is left after all depths. That is what the released DualToken does, whose cached residuals are changed
     * in place; it is here to compare with.
     */
    readonly residuals?: "own" | "last";
  };
}

export interface Quantization {
  /** (…, D), int64 */
  readonly codes: Tensor;
  /** (…, dim): the sum of the D code vectors; its gradient goes straight through to the input. */
  readonly quantized: Tensor;
  /** (…, D, dim), float32: the sums of the first 1 … D code vectors, without gradients. */
  readonly cumulative: Tensor;
  /** Scalar: squared distance from the input to each cumulative sum, averaged over elements and depths. */
  readonly commitmentLoss: Tensor;
}

/**
 * Residual quantization (Lee et al., 2022, Sec. 3.1): each depth quantizes what the depths before it left over. The
 * search is in float32.
 */
export class ResidualQuantizer extends nn.Module {
  /** One if shared, else D: `codebooks.0.weight`, … */
  readonly codebooks: readonly Codebook[];
  #started = false;

  constructor(readonly config: ResidualQuantizerConfig) {
    super();
    const { dim, codebookSize, depth, shared, update } = config;
    this.codebooks = Array.from({ length: shared ? 1 : depth }, () => new Codebook(codebookSize, dim, update ?? null));
  }

  /** x (…, dim) -> what its D codes say of it. @throws ShapeError when the last dimension is another */
  encode(x: Tensor): Quantization {
    return tidy(() => this.#describe(x, this.#walk(x)));
  }

  /** Only the codes: (…, dim) -> (…, D), int64. */
  codesOf(x: Tensor): Tensor {
    return tidy(() => this.#shaped(x, F.stack(this.#walk(x).codes, 1), this.config.depth));
  }

  /**
   * A training step: returns what `encode` does with the codebooks as they were, and moves them.
   * @throws ConfigError when the config has no `update`
   */
  encodeAndUpdate(x: Tensor, draws: Draws = libtorchDraws): Quantization {
    const { kind, residuals: seenResiduals = "own" } = this.#learning();
    return tidy(() => {
      if (kind === "rq") {
        const updateNow = (depth: number, residual: Tensor, codes: Tensor) =>
          this.#codebookOf(depth).update(residual, codes, draws);
        return this.#describe(x, this.#walk(x, updateNow));
      }
      const seen = this.codebooks.map(() => ({ residuals: [] as Tensor[], codes: [] as Tensor[] }));
      const walked = this.#walk(x, (depth, residual, codes) => {
        const statistics = seen[this.#indexOf(depth)]!;
        statistics.residuals.push(residual);
        statistics.codes.push(codes);
      });
      for (const [index, { residuals, codes }] of seen.entries()) {
        const vectors = seenResiduals === "own" ? residuals : residuals.map(() => walked.rest);
        this.codebooks[index]!.update(F.cat(vectors), F.cat(codes), draws);
      }
      return this.#describe(x, walked);
    });
  }

  /**
   * Sets the codebooks from data, before the first step: at each depth k-means centres of what the depths before left
   * over. A shared codebook gives each depth an equal share of its codes.
   * @param x (…, dim); at least as many vectors as codes, or copies with noise are taken
   * @throws ConfigError when the config has no `update`
   */
  initialiseFrom(
    x: Tensor,
    { iterations = 8, draws = libtorchDraws }: { iterations?: number; draws?: Draws } = {},
  ): void {
    this.#learning();
    const { codebookSize, depth: depths, shared } = this.config;
    noGrad(() =>
      tidy(() => {
        let residual = this.#flat(x);
        for (let depth = 0; depth < depths; depth++) {
          const codebook = this.#codebookOf(depth);
          const from = shared ? Math.floor((codebookSize * depth) / depths) : 0;
          const end = shared ? Math.floor((codebookSize * (depth + 1)) / depths) : codebookSize;
          codebook.initialise(residual, from, end - from, iterations, draws);
          residual = residual.sub(codebook.vectors(codebook.nearest(residual, end)));
        }
      }),
    );
    this.#started = true;
  }

  /** Whether the codebooks have seen data, by `initialiseFrom`, an update, or a checkpoint that had. */
  get started(): boolean {
    this.#started ||= tidy(() => this.codebooks.some(({ clusterSizeEma }) => (clusterSizeEma?.sum().item() ?? 1) > 0));
    return this.#started;
  }

  /**
   * What codes stand for: the sums of the first 1 … D code vectors, without gradients.
   * @param codes (…, D), int64, each in [0, codebookSize)
   * @returns (…, D, dim), float32
   * @throws ShapeError, DtypeError
   */
  lookup(codes: Tensor): Tensor {
    const { depth } = this.config;
    if (codes.shape.at(-1) !== depth) {
      throw new ShapeError(
        `ResidualQuantizer.lookup: codes is (${codes.shape.join(", ")}), the last dimension must be the depth, ${depth}`,
      );
    }
    if (codes.dtype !== "int64") {
      throw new DtypeError(`ResidualQuantizer.lookup: codes is ${codes.dtype}: convert first, with .to("int64")`);
    }
    return tidy(() => {
      if (this.config.shared) return this.#codebookOf(0).vectors(codes).cumsum(-2);
      return F.stack(
        codes.unbind(-1).map((ofDepth, index) => this.#codebookOf(index).vectors(ofDepth)),
        -2,
      ).cumsum(-2);
    });
  }

  /** The code vectors without padding: (1 if shared else D, codebookSize, dim), float32, a copy. */
  codebookTensor(): Tensor {
    return tidy(() => F.stack(this.codebooks.map(({ weight }) => weight.narrow(0, 0, this.config.codebookSize))));
  }

  /** Finds each depth's codes and vectors; `visit` runs between the lookup and the next depth. */
  #walk(x: Tensor, visit?: (depth: number, residual: Tensor, codes: Tensor) => void): Walk {
    return noGrad(() => {
      let residual = this.#flat(x);
      const [allCodes, allVectors]: [Tensor[], Tensor[]] = [[], []];
      for (let depth = 0; depth < this.config.depth; depth++) {
        const codebook = this.#codebookOf(depth);
        const codes = codebook.nearest(residual);
        const vectors = codebook.vectors(codes);
        visit?.(depth, residual, codes);
        residual = residual.sub(vectors);
        allCodes.push(codes);
        allVectors.push(vectors);
      }
      return { codes: allCodes, vectors: allVectors, rest: residual };
    });
  }

  #describe(x: Tensor, { codes, vectors }: Walk): Quantization {
    const { depth, dim } = this.config;
    const cumulative = F.stack(vectors, 1).cumsum(1); // (n, D, dim)
    const sum = this.#shaped(x, cumulative.select(1, depth - 1), dim).to(x.dtype);
    const flat = x.to("float32").reshape([-1, dim]);
    const distances = cumulative.unbind(1).map((upToDepth) => flat.mseLoss(upToDepth));
    return {
      codes: this.#shaped(x, F.stack(codes, 1), depth),
      quantized: x.add(sum.sub(x).detach()),
      cumulative: this.#shaped(x, cumulative, depth, dim),
      commitmentLoss: F.stack(distances).mean(),
    };
  }

  /** (n, …) -> (every dimension of x but the last, sizes) */
  #shaped(x: Tensor, rows: Tensor, ...sizes: number[]): Tensor {
    return rows.reshape([...x.shape.slice(0, -1), ...sizes]);
  }

  /** (…, dim) -> (n, dim), float32, without gradient */
  #flat(x: Tensor): Tensor {
    const { dim } = this.config;
    if (x.shape.at(-1) !== dim) {
      throw new ShapeError(
        `ResidualQuantizer: x is (${x.shape.join(", ")}), the last dimension must be the code dimension, ${dim}`,
      );
    }
    return x.detach().to("float32").reshape([-1, dim]);
  }

  #indexOf(depth: number): number {
    return this.config.shared ? 0 : depth;
  }

  #codebookOf(depth: number): Codebook {
    return this.codebooks[this.#indexOf(depth)]!;
  }

  #learning() {
    const { update } = this.config;
    if (!update) {
      throw new ConfigError("ResidualQuantizer: this quantizer doesn't learn: its config has no `update`");
    }
    return update;
  }
}

interface Walk {
  /** D times (n) */
  readonly codes: Tensor[];
  /** D times (n, dim) */
  readonly vectors: Tensor[];
  /** (n, dim): what no depth described. */
  readonly rest: Tensor;
}

export interface CodeUsage {
  /** How many different codes occur. */
  readonly used: number;
  /** exp of the entropy: the number of codes that would be used if they were used equally. */
  readonly perplexity: number;
}

/** How many codes each depth makes use of. codes (…, D), int64 -> one entry a depth */
export function codeUsage(codes: Tensor, codebookSize: number): CodeUsage[] {
  return tidy(() =>
    codes.unbind(-1).map((ofDepth) => {
      const counts = ofDepth.flatten().bincount(null, codebookSize).to("float32");
      const shares = counts.div(counts.sum().clampMin(1));
      const entropy = shares.mul(shares.clampMin(1e-12).log()).sum().neg().item();
      return { used: counts.gt(0).sum().item(), perplexity: Math.exp(entropy) };
    }),
  );
}
