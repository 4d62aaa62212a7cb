import { F, nn, ShapeError, type Tensor } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { SiglipEncoder, type SiglipEncoderConfig } from "./siglip-encoder.js";

export interface ClipVisionConfig extends SiglipEncoderConfig {
  /** Side of the square pictures, in pixels. */
  readonly imageSize: number;
  readonly patchSize: number;
}

export interface ClipVisionOutput {
  /** The last layer's output, without the final norm, (batch, 1 + patches, dim). */
  readonly lastHiddenState: Tensor;
  /** The class token after the final norm, (batch, dim). */
  readonly pooled: Tensor;
}

/**
 * CLIP's vision transformer (Radford et al., 2021): a class token before the patches and a norm before the layers.
 * LLaVA 1.5 takes the hidden state of index -2 as features, without the class token. Hidden state 0 is what comes after
 * the first norm. Checkpoint names begin with `vision_model.`, which is a prefix for `load`.
 */
export class ClipVisionTower extends nn.Module {
  readonly embeddings: ClipVisionEmbeddings;
  readonly preLayernorm: nn.LayerNorm;
  readonly encoder: SiglipEncoder;
  readonly postLayernorm: nn.LayerNorm;

  /** @throws ConfigError when a picture has no whole patch, or the width is no multiple of the heads */
  constructor(readonly config: ClipVisionConfig) {
    super();
    const { dim, epsilon = 1e-5 } = config;
    this.embeddings = new ClipVisionEmbeddings(config);
    this.preLayernorm = new nn.LayerNorm(dim, epsilon);
    this.encoder = new SiglipEncoder({ ...config, epsilon });
    this.postLayernorm = new nn.LayerNorm(dim, epsilon);
  }

  protected override get stateNames() {
    return { preLayernorm: "pre_layrnorm" }; // as checkpoints spell it
  }

  /** The class token and every whole patch of a picture. */
  get positions(): number {
    return this.embeddings.positions;
  }

  /** Positions before the patches: the class token. */
  get prefixTokens(): number {
    return 1;
  }

  /**
   * @param pixelValues (batch, 3, imageSize, imageSize), the dtype and device of the weights
   * @throws ShapeError for pictures of another size
   */
  forward(pixelValues: Tensor): ClipVisionOutput {
    const lastHiddenState = this.encoder.forward(this.#embed(pixelValues));
    return { lastHiddenState, pooled: this.postLayernorm.forward(lastHiddenState.select(1, 0)) };
  }

  /**
   * One hidden state, computed no further than needed: 0 is the encoder's input, k the output of layer k, and a negative
   * index counts from the end.
   * @returns (batch, positions, dim), the class token first
   * @throws ConfigError when there is no such layer
   */
  hiddenState(pixelValues: Tensor, index: number): Tensor {
    const count = this.layerOf(index);
    return this.encoder.forward(this.#embed(pixelValues), { count });
  }

  /** Hidden states 0 to `last` (an index as in `hiddenState`), each (batch, positions, dim). */
  hiddenStates(pixelValues: Tensor, last = -1): Tensor[] {
    const count = this.layerOf(last);
    return this.encoder.hiddenStates(this.#embed(pixelValues), { count });
  }

  /** The number of layers before the hidden state of this index. @throws ConfigError when there is none */
  layerOf(index: number): number {
    return this.encoder.layerOf(index);
  }

  #embed(pixelValues: Tensor): Tensor {
    return this.preLayernorm.forward(this.embeddings.forward(pixelValues));
  }
}

/** A class token, then patch embeddings (a convolution without bias whose stride is its kernel); learned positions. */
export class ClipVisionEmbeddings extends nn.Module {
  readonly classEmbedding: Tensor;
  readonly patchEmbedding: nn.Conv2d;
  readonly positionEmbedding: nn.Embedding;
  readonly positions: number;

  constructor(readonly config: Pick<ClipVisionConfig, "dim" | "imageSize" | "patchSize">) {
    super();
    const { dim, imageSize, patchSize } = config;
    if (imageSize < patchSize) {
      throw new ConfigError(`CLIP: an image size of ${imageSize} holds no patch of ${patchSize}`);
    }
    this.positions = 1 + Math.floor(imageSize / patchSize) ** 2;
    this.classEmbedding = nn.parameter([dim], (embedding) => void embedding.normal_(0, 0.02));
    this.patchEmbedding = new nn.Conv2d(3, dim, patchSize, { stride: patchSize, bias: false });
    this.positionEmbedding = new nn.Embedding(this.positions, dim, { standardDeviation: 0.02 });
  }

  /** pixelValues (batch, 3, imageSize, imageSize) -> (batch, positions, dim) */
  forward(pixelValues: Tensor): Tensor {
    const { dim, imageSize } = this.config;
    const { shape } = pixelValues;
    if (shape.length !== 4 || shape[1] !== 3 || shape[2] !== imageSize || shape[3] !== imageSize) {
      throw new ShapeError(
        `CLIP: pixelValues is (${shape.join(", ")}), this tower takes (batch, 3, ${imageSize}, ${imageSize})`,
      );
    }
    const patches = this.patchEmbedding.forward(pixelValues).flatten(2).transpose(1, 2); // (batch, patches, dim)
    const classTokens = this.classEmbedding.expand([patches.size(0), 1, dim]);
    return F.cat([classTokens, patches], 1).add(this.positionEmbedding.weight);
  }
}
