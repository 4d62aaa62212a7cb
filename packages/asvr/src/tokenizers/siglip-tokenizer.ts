import { nn, noGrad, type Tensor, tidy } from "@asvr/torch";
import { SiglipTrunk, type SiglipTrunkConfig } from "../vision/siglip.js";
import { AttentionProjection } from "./quant-blocks.js";
import { ResidualQuantizer, type ResidualQuantizerConfig } from "./residual-quantizer.js";
import type { VisualTokenizer } from "./visual-tokenizer.js";

export interface SiglipTokenizerConfig {
  /** The tower, no deeper than it need be. */
  readonly vision: SiglipTrunkConfig;
  /** Index of the hidden state that is quantized. */
  readonly layer: number;
  /** Whether an `AttentionProjection` brings it to the code dimension first; without one the two are equal. */
  readonly projected: boolean;
  readonly quantizer: ResidualQuantizerConfig;
}

/**
 * A published tokenizer that is only used: a hidden state of its own SigLIP tower, residually quantized. VILA-U's (Wu et
 * al., 2024), whose names these are, and the semantic half of DualToken's.
 */
export class SiglipTokenizer extends nn.Module implements VisualTokenizer {
  readonly visionModel: SiglipTrunk;
  readonly prequant: AttentionProjection | null;
  readonly quantizer: ResidualQuantizer;

  /** @throws ConfigError when there is no such layer, or the widths don't go together */
  constructor(readonly config: SiglipTokenizerConfig) {
    super();
    const { vision, layer, projected, quantizer } = config;
    this.visionModel = new SiglipTrunk(vision);
    this.visionModel.layerOf(layer);
    this.prequant = projected
      ? new AttentionProjection({ inDim: vision.dim, outDim: quantizer.dim, causal: false })
      : null;
    this.quantizer = new ResidualQuantizer(quantizer);
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { visionModel: "siglip_model.vision_model" };
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

  /** What is quantized: pixelValues (batch, 3, imageSize, imageSize) -> (batch, positions, codeDim) */
  features(pixelValues: Tensor): Tensor {
    return tidy(() => {
      const hiddenState = this.visionModel.hiddenState(pixelValues, this.config.layer);
      return this.prequant?.forward(hiddenState) ?? hiddenState;
    });
  }

  encode(pixelValues: Tensor): Tensor {
    return noGrad(() => tidy(() => this.quantizer.codesOf(this.features(pixelValues))));
  }

  embed(codes: Tensor): Tensor {
    return this.quantizer.lookup(codes);
  }

  codebookTensor(): Tensor {
    return this.quantizer.codebookTensor();
  }
}
