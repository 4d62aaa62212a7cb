import { F, nn, noGrad, type Tensor, tidy } from "@asvr/torch";
import type { SiglipVisionTower } from "../vision/siglip.js";
import { TokenizerBranch } from "./branch.js";
import type { ResidualQuantizerConfig } from "./residual-quantizer.js";

export interface TextAlignedBranchConfig {
  /** Index of the encoder's hidden state. */
  readonly layer: number;
  readonly quantizer: ResidualQuantizerConfig;
  /** Weight of the commitment loss beside the contrastive one. */
  readonly commitmentWeight: number;
}

/**
 * Semantic codes that learn from text: late features pass a small network, are quantized, and what is left of them must
 * still tell which caption is true of the picture (a contrastive loss through the codes, as the tokenizers of VILA-U and
 * DualToken have). So the codes keep what words can say, where `SemanticBranch` keeps what the features are.
 */
export class TextAlignedBranch extends TokenizerBranch<SiglipVisionTower> {
  readonly fc1: nn.Linear;
  readonly fc2: nn.Linear;
  readonly head: nn.Linear;

  constructor(
    encoder: SiglipVisionTower,
    readonly config: TextAlignedBranchConfig,
  ) {
    super(encoder, config.layer, config.quantizer);
    const { dim } = encoder.config;
    this.fc1 = new nn.Linear(dim, 2 * dim);
    this.fc2 = new nn.Linear(2 * dim, config.quantizer.dim);
    this.head = new nn.Linear(config.quantizer.dim, dim);
  }

  /**
   * A training step's view: some patches of pictures, each at its true position; the codebooks move with the call.
   * @param patches (batch, k, 3·patchSize²)
   * @param positionIds (batch, k), int64
   * @returns vectors (batch, dim) of the quantized views, and the weighted commitment loss
   */
  forwardPatches(patches: Tensor, positionIds: Tensor): { pooled: Tensor; loss: Tensor } {
    return tidy(() => {
      const hidden = noGrad(() => this.encoder.hiddenStateOfPatches(patches, positionIds, this.config.layer));
      const features = this.prepare(hidden);
      if (!this.quantizer.started) this.quantizer.initialiseFrom(features);
      const { quantized, commitmentLoss } = this.quantizer.encodeAndUpdate(features);
      return {
        pooled: this.head.forward(quantized.mean(1)),
        loss: commitmentLoss.mul(this.config.commitmentWeight),
      };
    });
  }

  override prepare(hiddenState: Tensor): Tensor {
    const normed = F.layerNorm(hiddenState, [hiddenState.size(-1)]);
    return this.fc2.forward(this.fc1.forward(normed).gelu());
  }
}
