import { F, nn, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { LayerScale } from "./layer-scale.js";
import { requireWholePatches } from "./patches.js";
import { type GridResizing, resizePositions } from "./position-grid.js";
import { layerOf, SiglipMlp } from "./siglip-encoder.js";

/** Field names of the hub's config.json beside ours. */
export interface Dinov2Config {
  /** hidden_size */
  readonly dim: number;
  /** hidden_size · mlp_ratio */
  readonly mlpDim: number;
  /** num_hidden_layers */
  readonly layers: number;
  /** num_attention_heads */
  readonly heads: number;
  /** layer_norm_eps */
  readonly epsilon: number;
  /** hidden_act */
  readonly activation: "gelu" | "gelu-tanh";
  /** qkv_bias */
  readonly qkvBias: boolean;
  readonly patchSize: number;
  /** Side of the square pictures that the positions are made for; others have them resized. */
  readonly imageSize: number;
  /** How. */
  readonly resizing: Exclude<GridResizing, "bilinear-antialiased">;
}

/**
 * DINOv2's vision transformer (Oquab et al., 2023): a class token before the patches, learned positions, a learned scale
 * on every branch. Pictures may have any size in whole patches.
 */
export class Dinov2Tower extends nn.Module {
  readonly embeddings: Dinov2Embeddings;
  readonly layers: readonly Dinov2Layer[];
  readonly layernorm: nn.LayerNorm;

  /** @throws ConfigError when the width can't be divided among the heads, or a picture holds no patch */
  constructor(readonly config: Dinov2Config) {
    super();
    const { dim, heads, layers, epsilon, imageSize, patchSize } = config;
    if (dim % heads !== 0) throw new ConfigError(`DINOv2: a width of ${dim} can't be divided among ${heads} heads`);
    if (imageSize < patchSize) {
      throw new ConfigError(`DINOv2: an image size of ${imageSize} holds no patch of ${patchSize}`);
    }
    this.embeddings = new Dinov2Embeddings(config);
    this.layers = Array.from({ length: layers }, () => new Dinov2Layer(config));
    this.layernorm = new nn.LayerNorm(dim, epsilon);
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { layers: "encoder.layer" };
  }

  /** Class token and patches of a picture of `imageSize`. */
  get positions(): number {
    return 1 + Math.floor(this.config.imageSize / this.config.patchSize) ** 2;
  }

  /** The class token. */
  get prefixTokens(): number {
    return 1;
  }

  /**
   * One hidden state, computed no further than needed: 0 is the embeddings, k the output of layer k, before the final
   * norm; a negative index counts from the end.
   * @param pixelValues (batch, 3, height, width), the dtype and device of the weights
   * @returns (batch, 1 + patches, dim), the class token first
   * @throws ConfigError when there is no such layer; ShapeError when a side is no multiple of the patch size
   */
  hiddenState(pixelValues: Tensor, index: number): Tensor {
    return this.hiddenStates(pixelValues, index).at(-1)!;
  }

  /** Hidden states 0 to `last` (an index as in `hiddenState`). */
  hiddenStates(pixelValues: Tensor, last = -1): Tensor[] {
    const count = this.layerOf(last);
    const states = [this.embeddings.forward(pixelValues)];
    for (const layer of this.layers.slice(0, count)) states.push(layer.forward(states.at(-1)!));
    return states;
  }

  /** The number of layers before the hidden state of this index. @throws ConfigError when there is none */
  layerOf(index: number): number {
    return layerOf(index, this.layers.length);
  }
}

/** A class token, then patches (a convolution whose stride is its kernel); positions resized to the picture's grid. */
export class Dinov2Embeddings extends nn.Module {
  readonly clsToken: Tensor;
  /** (1, 1 + positions, dim): the class token's first. */
  readonly positionEmbeddings: Tensor;
  readonly patchEmbeddings: nn.Conv2d;

  constructor(readonly config: Pick<Dinov2Config, "dim" | "patchSize" | "imageSize" | "resizing">) {
    super();
    const { dim, patchSize, imageSize } = config;
    const normal = (shape: number[]) => nn.parameter(shape, (values) => void values.normal_(0, 0.02));
    this.clsToken = normal([1, 1, dim]);
    this.positionEmbeddings = normal([1, 1 + Math.floor(imageSize / patchSize) ** 2, dim]);
    this.patchEmbeddings = new nn.Conv2d(3, dim, patchSize, { stride: patchSize });
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { patchEmbeddings: "patch_embeddings.projection" };
  }

  /** pixelValues (batch, 3, height, width) -> (batch, 1 + patches, dim) */
  forward(pixelValues: Tensor): Tensor {
    const { dim, patchSize, resizing } = this.config;
    requireWholePatches("DINOv2", pixelValues, patchSize);
    return tidy(() => {
      const grid = this.patchEmbeddings.forward(pixelValues); // (batch, dim, rows, columns)
      const [batch, , rows, columns] = grid.shape as [number, number, number, number];
      const table = this.positionEmbeddings.select(0, 0);
      const ofPatches = resizePositions(table.narrow(0, 1, table.size(0) - 1), rows, columns, resizing);
      const positions = F.cat([table.narrow(0, 0, 1), ofPatches], 0);
      const tokens = F.cat([this.clsToken.expand([batch, 1, dim]), grid.flatten(2).transpose(1, 2)], 1);
      return tokens.add(positions);
    });
  }
}

/** A pre-norm layer: x += scale · attention(norm(x)); x += scale · mlp(norm(x)). (batch, tokens, dim) -> same */
export class Dinov2Layer extends nn.Module {
  readonly norm1: nn.LayerNorm;
  readonly attention: Dinov2Attention;
  readonly layerScale1: LayerScale;
  readonly norm2: nn.LayerNorm;
  readonly mlp: SiglipMlp;
  readonly layerScale2: LayerScale;

  constructor(config: Dinov2Config) {
    super();
    const { dim, epsilon } = config;
    this.norm1 = new nn.LayerNorm(dim, epsilon);
    this.attention = new Dinov2Attention(config);
    this.layerScale1 = new LayerScale(dim);
    this.norm2 = new nn.LayerNorm(dim, epsilon);
    this.mlp = new SiglipMlp(config);
    this.layerScale2 = new LayerScale(dim);
  }

  forward(x: Tensor): Tensor {
    return tidy(() => {
      const attended = x.add(this.layerScale1.forward(this.attention.forward(this.norm1.forward(x))));
      return attended.add(this.layerScale2.forward(this.mlp.forward(this.norm2.forward(attended))));
    });
  }
}

/** Bidirectional self-attention. (batch, tokens, dim) -> same */
class Dinov2Attention extends nn.Module {
  readonly qkv: nn.FusedLinear;
  readonly output: nn.Linear;
  readonly #heads: number;

  constructor({ dim, heads, qkvBias: bias }: Dinov2Config) {
    super();
    this.#heads = heads;
    this.qkv = new nn.FusedLinear(dim, { query: dim, key: dim, value: dim }, { bias });
    this.output = new nn.Linear(dim, dim);
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { qkv: "attention", output: "output.dense" };
  }

  forward(x: Tensor): Tensor {
    const [query, key, value] = this.qkv.forward(x).map((part) => nn.splitHeads(part, this.#heads)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    return this.output.forward(nn.mergeHeads(nn.attend(query, key, value)));
  }
}
