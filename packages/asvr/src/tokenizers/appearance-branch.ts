import { F, nn, noGrad, type Tensor, tidy } from "@asvr/torch";
import { foldPatches, unfoldPatches } from "../vision/patches.js";
import type { SiglipVisionTower } from "../vision/siglip.js";
import type { SiglipEncoderConfig } from "../vision/siglip-encoder.js";
import { TransformerPixelDecoder } from "./pixel-decoder.js";
import { ResidualQuantizer, type ResidualQuantizerConfig } from "./residual-quantizer.js";
import type { PictureObjective, VisualTokenizer } from "./visual-tokenizer.js";

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
 * Table 1). The encoder is used, not owned: it's neither trained, saved nor freed with the branch.
 */
export class AppearanceBranch extends nn.Module implements VisualTokenizer, PictureObjective {
  readonly down: nn.Linear;
  readonly quantizer: ResidualQuantizer;
  readonly decoder: TransformerPixelDecoder;
  readonly #encoder: SiglipVisionTower;

  constructor(
    encoder: SiglipVisionTower,
    readonly config: AppearanceBranchConfig,
  ) {
    super();
    const { dim, patchSize } = encoder.config;
    this.#encoder = encoder;
    this.down = new nn.Linear(dim, config.quantizer.dim);
    this.quantizer = new ResidualQuantizer(config.quantizer);
    this.decoder = new TransformerPixelDecoder({
      ...config.decoder,
      inDim: config.quantizer.dim,
      positions: encoder.positions,
      patchSize,
    });
  }

  get depth(): number {
    return this.config.quantizer.depth;
  }

  get codebookSize(): number {
    return this.config.quantizer.codebookSize;
  }

  get codeDim(): number {
    return this.config.quantizer.dim;
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

  /**
   * The picture that codes describe.
   * @param codes (batch, positions, D), int64
   * @returns pixelValues (batch, 3, side, side), about in [-1, 1]
   */
  reconstruct(codes: Tensor): Tensor {
    return noGrad(() =>
      tidy(() => {
        const quantized = this.embed(codes).select(-2, this.depth - 1); // (batch, positions, codeDim)
        return foldPatches(this.decoder.forward(quantized), this.#encoder.config.patchSize);
      }),
    );
  }

  /** Mean squared error of the pixels plus the weighted commitment loss. */
  loss(pixelValues: Tensor): Tensor {
    return tidy(() => {
      const hiddenState = noGrad(() => this.#encoder.hiddenState(pixelValues, this.config.layer));
      const reduced = this.prepare(hiddenState);
      if (!this.quantizer.started) this.quantizer.initialiseFrom(reduced);
      const { quantized, commitmentLoss } = this.quantizer.encodeAndUpdate(reduced);
      const patches = unfoldPatches(pixelValues, this.#encoder.config.patchSize);
      const pixelLoss = this.decoder.forward(quantized).mseLoss(patches);
      return pixelLoss.add(commitmentLoss.mul(this.config.commitmentWeight));
    });
  }

  /** What is quantized, of hidden states of `layer`: (batch, positions, encoder dim) -> (batch, positions, codeDim) */
  prepare(hiddenState: Tensor): Tensor {
    return this.down.forward(F.layerNorm(hiddenState, [hiddenState.size(-1)]));
  }
}
