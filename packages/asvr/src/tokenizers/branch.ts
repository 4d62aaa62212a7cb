import { nn, noGrad, type Tensor, tidy } from "@asvr/torch";
import { type VisionTower, VisualFeatures } from "../vision/visual-features.js";
import { ResidualQuantizer, type ResidualQuantizerConfig } from "./residual-quantizer.js";
import type { VisualTokenizer } from "./visual-tokenizer.js";

/**
 * A visual tokenizer on one hidden state of an encoder: what the semantic and the appearance branch have in common. Of the
 * hidden state the patches are quantized, without class and register tokens. The encoder is used, not owned: it's neither
 * trained, saved nor freed with the branch.
 */
export abstract class TokenizerBranch<Tower extends VisionTower = VisionTower>
  extends nn.Module
  implements VisualTokenizer
{
  readonly quantizer: ResidualQuantizer;
  readonly #features: VisualFeatures<Tower>;

  /** @param layer index of the encoder's hidden state that is quantized */
  constructor(
    encoder: Tower,
    readonly layer: number,
    quantizer: ResidualQuantizerConfig,
  ) {
    super();
    this.#features = new VisualFeatures(encoder, { layers: [layer], strategy: "patches" });
    this.quantizer = new ResidualQuantizer(quantizer);
  }

  /** What is quantized, of hidden states of `layer`: (batch, positions, encoder dim) -> (batch, positions, codeDim) */
  abstract prepare(hiddenState: Tensor): Tensor;

  protected get encoder(): Tower {
    return this.#features.tower;
  }

  /** The hidden state that is quantized, (batch, positions, dim), one position a patch. */
  protected hiddenState(pixelValues: Tensor): Tensor {
    return this.#features.forward(pixelValues);
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
    return noGrad(() => tidy(() => this.encodeFeatures(this.hiddenState(pixelValues))));
  }

  /** The codes of the patches' hidden states, where they are at hand already: (batch, positions, dim) -> (batch, positions, D), int64 */
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
