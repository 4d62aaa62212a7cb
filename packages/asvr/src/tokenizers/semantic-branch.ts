import { F, noGrad, type Tensor, tidy } from "@asvr/torch";
import type { VisionTower } from "../vision/visual-features.js";
import { TokenizerBranch } from "./branch.js";
import type { ResidualQuantizerConfig } from "./residual-quantizer.js";
import type { PictureObjective } from "./visual-tokenizer.js";

export interface SemanticBranchConfig {
  /** Index of the encoder's hidden state; the paper's is -2, the second-last layer's output. */
  readonly layer: number;
  /** Each feature vector is brought to mean 0 and variance 1 first, so that codes don't depend on the encoder's scale. */
  readonly normaliseFeatures: boolean;
  /** `dim` is the encoder's width. */
  readonly quantizer: Omit<ResidualQuantizerConfig, "dim">;
}

/**
 * Semantic codes: residual quantization of late features, which carry meaning rather than pixels (paper Sec. 3.2). Of any
 * tower: the paper also has VQ-SigLIP 2, VQ-DINOv3 and VQ-DepthAnything (Tables 9 and 10).
 */
export class SemanticBranch extends TokenizerBranch implements PictureObjective {
  constructor(
    encoder: VisionTower,
    readonly config: SemanticBranchConfig,
  ) {
    super(encoder, config.layer, { ...config.quantizer, dim: encoder.config.dim });
  }

  /** The mean squared error of the quantized features; the codebooks learn from them by running averages alone. */
  loss(pixelValues: Tensor): Tensor {
    return noGrad(() =>
      tidy(() => {
        const features = this.prepare(this.hiddenState(pixelValues));
        if (!this.quantizer.started) this.quantizer.initialiseFrom(features);
        return this.quantizer.encodeAndUpdate(features).quantized.mseLoss(features);
      }),
    );
  }

  override prepare(hiddenState: Tensor): Tensor {
    return this.config.normaliseFeatures ? F.layerNorm(hiddenState, [this.codeDim]) : hiddenState;
  }
}
