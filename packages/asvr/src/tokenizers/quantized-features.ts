import { noGrad, type Tensor, tidy } from "@asvr/torch";
import type { ResidualQuantizer } from "./residual-quantizer.js";
import type { VisualTokenizer } from "./visual-tokenizer.js";

/** A tokenizer made of what turns pictures into features, and their quantizer. Both stay their owner's. */
export class QuantizedFeatures implements VisualTokenizer {
  readonly #quantizer: ResidualQuantizer;
  readonly #features: (pixelValues: Tensor) => Tensor;

  /** @param features pixelValues (batch, 3, height, width) -> (batch, positions, codeDim) */
  constructor(quantizer: ResidualQuantizer, features: (pixelValues: Tensor) => Tensor) {
    this.#quantizer = quantizer;
    this.#features = features;
  }

  get depth(): number {
    return this.#quantizer.config.depth;
  }

  get codebookSize(): number {
    return this.#quantizer.config.codebookSize;
  }

  get codeDim(): number {
    return this.#quantizer.config.dim;
  }

  encode(pixelValues: Tensor): Tensor {
    return noGrad(() => tidy(() => this.#quantizer.codesOf(this.#features(pixelValues))));
  }

  embed(codes: Tensor): Tensor {
    return this.#quantizer.lookup(codes);
  }

  codebookTensor(): Tensor {
    return this.#quantizer.codebookTensor();
  }
}
