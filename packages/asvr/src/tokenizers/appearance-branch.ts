import { F, nn, noGrad, type Tensor, tidy } from "@asvr/torch";
import { foldPatches, unfoldPatches } from "../vision/patches.js";
import type { SiglipVisionTower } from "../vision/siglip.js";
import type { SiglipEncoderConfig } from "../vision/siglip-encoder.js";
import { TokenizerBranch } from "./branch.js";
import { TransformerPixelDecoder } from "./pixel-decoder.js";
import type { ResidualQuantizerConfig } from "./residual-quantizer.js";
import type { PictureObjective } from "./visual-tokenizer.js";

export interface AppearanceBranchConfig {
  /** Index of the encoder's hidden state: an early one, which still has the pixels' detail (the paper's is 6 of 27). */
  readonly layer: number;
  /** `dim` is the width that features are reduced to (the paper's later tokenizer: 32). */
  readonly quantizer: ResidualQuantizerConfig;
  readonly decoder: SiglipEncoderConfig;
  /** Weight of the commitment loss beside the pixels' squared error. */
  readonly commitmentWeight: number;
}

/**
 * Appearance codes: residual quantization of early features, learned by reconstructing the picture (paper Sec. 3.2 and
 * Table 1).
 */
export class AppearanceBranch extends TokenizerBranch<SiglipVisionTower> implements PictureObjective {
  readonly down: nn.Linear;
  readonly decoder: TransformerPixelDecoder;

  constructor(
    encoder: SiglipVisionTower,
    readonly config: AppearanceBranchConfig,
  ) {
    super(encoder, config.layer, config.quantizer);
    const { dim, patchSize } = encoder.config;
    this.down = new nn.Linear(dim, config.quantizer.dim);
    this.decoder = new TransformerPixelDecoder({
      ...config.decoder,
      inDim: config.quantizer.dim,
      positions: encoder.positions,
      patchSize,
    });
  }

  /**
   * The picture that codes describe.
   * @param codes (batch, positions, D), int64
   * @returns pixelValues (batch, 3, side, side), about in [-1, 1]
   */
  reconstruct(codes: Tensor): Tensor {
    return noGrad(() =>
      tidy(() => {
        const quantized = this.embed(codes).select(-2, this.depth - 1); // (batch, positions, codeDim)
        return foldPatches(this.decoder.forward(quantized), this.encoder.config.patchSize);
      }),
    );
  }

  /** Mean squared error of the pixels plus the weighted commitment loss. */
  loss(pixelValues: Tensor): Tensor {
    return tidy(() => {
      const hiddenState = noGrad(() => this.hiddenState(pixelValues));
      const reduced = this.prepare(hiddenState);
      if (!this.quantizer.started) this.quantizer.initialiseFrom(reduced);
      const { quantized, commitmentLoss } = this.quantizer.encodeAndUpdate(reduced);
      const patches = unfoldPatches(pixelValues, this.encoder.config.patchSize);
      const pixelLoss = this.decoder.forward(quantized).mseLoss(patches);
      return pixelLoss.add(commitmentLoss.mul(this.config.commitmentWeight));
    });
  }

  override prepare(hiddenState: Tensor): Tensor {
    return this.down.forward(F.layerNorm(hiddenState, [hiddenState.size(-1)]));
  }
}
