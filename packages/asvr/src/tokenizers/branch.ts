import { nn, noGrad, type Tensor, tidy } from "@asvr/torch";
import type { SiglipVisionTower } from "../vision/siglip.js";
import { ResidualQuantizer, type ResidualQuantizerConfig } from "./residual-quantizer.js";
import type { VisualTokenizer } from "./visual-tokenizer.js";

/**
 * A visual tokenizer on one hidden state of an encoder: what the semantic and the appearance branch have in common. The
 * encoder is used, not owned: it's neither trained, saved nor freed with the branch.
 */
export abstract class TokenizerBranch extends nn.Module implements VisualTokenizer {
  readonly quantizer: ResidualQuantizer;
  readonly #encoder: SiglipVisionTower;

  /** @param layer index of the encoder's hidden state that is quantized */
  constructor(
    encoder: SiglipVisionTower,
    readonly layer: number,
    quantizer: ResidualQuantizerConfig,
  ) {
    super();
    this.#encoder = encoder;
    this.quantizer = new ResidualQuantizer(quantizer);
  }

  /** What is quantized, of hidden states of `layer`: (batch, positions, encoder dim) -> (batch, positions, codeDim) */
  abstract prepare(hiddenState: Tensor): Tensor;

  protected get encoder(): SiglipVisionTower {
    return this.#encoder;
  }

  get depth(): number {
    return this.quantizer.config.depth;
  }

  get codebookSize(): number {
    return this.quantizer.config.codebookSize;
  }

  get codeDim(): number {
    return this.quantizer.config.dim;
  }

  encode(pixelValues: Tensor): Tensor {
    return noGrad(() => tidy(() => this.encodeFeatures(this.encoder.hiddenState(pixelValues, this.layer))));
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
}
