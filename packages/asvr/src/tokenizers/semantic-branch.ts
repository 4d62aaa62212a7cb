import { F, nn, noGrad, type Tensor, tidy } from "@asvr/torch";
import type { SiglipVisionTower } from "../vision/siglip.js";
import { ResidualQuantizer, type ResidualQuantizerConfig } from "./residual-quantizer.js";
import type { PictureObjective, VisualTokenizer } from "./visual-tokenizer.js";

export interface SemanticBranchConfig {
  /** Index of the encoder's hidden state; the paper's is -2, the second-last layer's output. */
  readonly layer: number;
  /** Each feature vector is brought to mean 0 and variance 1 first, so that codes don't depend on the encoder's scale. */
  readonly normaliseFeatures: boolean;
  /** `dim` is the encoder's width. */
  readonly quantizer: Omit<ResidualQuantizerConfig, "dim">;
}

/**
 * Semantic codes: residual quantization of late features, which carry meaning rather than pixels (paper Sec. 3.2). The
 * encoder is used, not owned: it's neither trained, saved nor freed with the branch.
 */
export class SemanticBranch extends nn.Module implements VisualTokenizer, PictureObjective {
  readonly quantizer: ResidualQuantizer;
  readonly #encoder: SiglipVisionTower;

  constructor(
    encoder: SiglipVisionTower,
    readonly config: SemanticBranchConfig,
  ) {
    super();
    this.#encoder = encoder;
    this.quantizer = new ResidualQuantizer({ ...config.quantizer, dim: encoder.config.dim });
  }

  get depth(): number {
    return this.config.quantizer.depth;
  }

  get codebookSize(): number {
    return this.config.quantizer.codebookSize;
  }

  get codeDim(): number {
    return this.#encoder.config.dim;
  }

  encode(pixelValues: Tensor): Tensor {
    return noGrad(() => tidy(() => this.encodeFeatures(this.#encoder.hiddenState(pixelValues, this.config.layer))));
  }

  /** The codes of hidden states that are at hand already: (batch, positions, dim) -> (batch, positions, D), int64 */
  encodeFeatures(hiddenState: Tensor): Tensor {
    return noGrad(() => tidy(() => this.quantizer.codesOf(this.prepare(hiddenState))));
  }

  embed(codes: Tensor): Tensor {
    return this.quantizer.lookup(codes);
  }

  codebookTensor(): Tensor {
    return this.quantizer.codebookTensor();
  }

  /** The mean squared error of the quantized features; the codebooks learn from them by running averages alone. */
  loss(pixelValues: Tensor): Tensor {
    return noGrad(() =>
      tidy(() => {
        const features = this.prepare(this.#encoder.hiddenState(pixelValues, this.config.layer));
        if (!this.quantizer.started) this.quantizer.initialiseFrom(features);
        return this.quantizer.encodeAndUpdate(features).quantized.mseLoss(features);
      }),
    );
  }

  /** What is quantized, of hidden states of `layer`: (batch, positions, dim) -> same */
  prepare(hiddenState: Tensor): Tensor {
    return this.config.normaliseFeatures ? F.layerNorm(hiddenState, [this.codeDim]) : hiddenState;
  }
}
