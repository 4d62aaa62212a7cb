import { F, nn, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { type Gelu, gelu } from "../layers/gelu.js";
import { LayerScale } from "./layer-scale.js";
import { type PatchRotary, patchRotary, rotatePatches } from "./patch-rotary.js";
import { requireWholePatches } from "./patches.js";
import { layerOf } from "./siglip-encoder.js";

/** Field names of the hub's config.json beside ours. */
export interface Dinov3Config {
  /** hidden_size */
  readonly dim: number;
  /** intermediate_size */
  readonly mlpDim: number;
  /** num_hidden_layers */
  readonly layers: number;
  /** num_attention_heads */
  readonly heads: number;
  /** layer_norm_eps */
  readonly epsilon: number;
  /** hidden_act */
  readonly activation: Gelu | "silu";
  /** use_gated_mlp: act(gate) · up, as the largest models have it. */
  readonly gated: boolean;
  /** num_register_tokens */
  readonly registers: number;
  readonly patchSize: number;
  /** Side of the square pictures that `positions` is about; the tower takes any multiple of the patch size. */
  readonly imageSize: number;
  /** rope_theta */
  readonly ropeTheta: number;
  /** query_bias, key_bias, value_bias, proj_bias, mlp_bias */
  readonly bias: {
    readonly query: boolean;
    readonly key: boolean;
    readonly value: boolean;
    readonly output: boolean;
    readonly mlp: boolean;
  };
}

export interface Dinov3Output {
  /** The last layer's output after the final norm, (batch, 1 + registers + patches, dim). */
  readonly lastHiddenState: Tensor;
  /** The class token of `lastHiddenState`, (batch, dim). */
  readonly pooled: Tensor;
}

/**
 * DINOv3's vision transformer (Siméoni et al., 2025): a class token and registers before the patches, rotary positions on
 * the patches, a learned scale on every branch. Pictures may have any size in whole patches, and need not be square.
 */
export class Dinov3Tower extends nn.Module {
  readonly embeddings: Dinov3Embeddings;
  readonly layers: readonly Dinov3Layer[];
  readonly norm: nn.LayerNorm;

  /** @throws ConfigError when the width can't be divided among the heads, or a head among rows and columns */
  constructor(readonly config: Dinov3Config) {
    super();
    const { dim, heads, layers, epsilon, imageSize, patchSize } = config;
    if (dim % heads !== 0 || (dim / heads) % 4 !== 0) {
      throw new ConfigError(`DINOv3: a width of ${dim} can't be divided among ${heads} heads of a multiple of 4`);
    }
    if (imageSize < patchSize) {
      throw new ConfigError(`DINOv3: an image size of ${imageSize} holds no patch of ${patchSize}`);
    }
    this.embeddings = new Dinov3Embeddings(config);
    this.layers = Array.from({ length: layers }, () => new Dinov3Layer(config));
    this.norm = new nn.LayerNorm(dim, epsilon);
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { layers: "layer" };
  }

  /** Class token, registers and patches of a picture of `imageSize`. */
  get positions(): number {
    return this.prefixTokens + Math.floor(this.config.imageSize / this.config.patchSize) ** 2;
  }

  /** The class token and the registers. */
  get prefixTokens(): number {
    return 1 + this.config.registers;
  }

  /**
   * @param pixelValues (batch, 3, height, width), the dtype and device of the weights
   * @throws ShapeError when a side is no multiple of the patch size
   */
  forward(pixelValues: Tensor): Dinov3Output {
    const lastHiddenState = this.norm.forward(this.hiddenState(pixelValues, -1));
    return { lastHiddenState, pooled: lastHiddenState.select(1, 0) };
  }

  /**
   * One hidden state, computed no further than needed: 0 is the embeddings, k the output of layer k, before the final
   * norm; a negative index counts from the end.
   * @returns (batch, positions, dim), the class token and the registers first
   * @throws ConfigError when there is no such layer
   */
  hiddenState(pixelValues: Tensor, index: number): Tensor {
    return this.hiddenStates(pixelValues, index).at(-1)!;
  }

  /** Hidden states 0 to `last` (an index as in `hiddenState`). */
  hiddenStates(pixelValues: Tensor, last = -1): Tensor[] {
    const count = this.layerOf(last);
    const states = [this.embeddings.forward(pixelValues)];
    const rotary = this.#rotary(pixelValues);
    for (const layer of this.layers.slice(0, count)) states.push(layer.forward(states.at(-1)!, rotary));
    return states;
  }

  /** The number of layers before the hidden state of this index. @throws ConfigError when there is none */
  layerOf(index: number): number {
    return layerOf(index, this.layers.length);
  }

  #rotary({ shape, device, dtype }: Tensor): PatchRotary {
    const { dim, heads, patchSize, ropeTheta: theta } = this.config;
    const [rows, columns] = [shape[2]! / patchSize, shape[3]! / patchSize];
    return patchRotary(rows, columns, { headDim: dim / heads, theta, device, dtype });
  }
}

/** A class token, registers, then patches (a convolution whose stride is its kernel); no positions. */
export class Dinov3Embeddings extends nn.Module {
  readonly clsToken: Tensor;
  readonly registerTokens: Tensor;
  readonly patchEmbeddings: nn.Conv2d;

  constructor(readonly config: Pick<Dinov3Config, "dim" | "registers" | "patchSize">) {
    super();
    const { dim, registers, patchSize } = config;
    const token = (count: number) => nn.parameter([1, count, dim], (tokens) => void tokens.normal_(0, 0.02));
    this.clsToken = token(1);
    this.registerTokens = token(registers);
    this.patchEmbeddings = new nn.Conv2d(3, dim, patchSize, { stride: patchSize });
  }

  /** pixelValues (batch, 3, height, width) -> (batch, 1 + registers + patches, dim) */
  forward(pixelValues: Tensor): Tensor {
    const { dim, registers, patchSize } = this.config;
    requireWholePatches("DINOv3", pixelValues, patchSize);
    return tidy(() => {
      const patches = this.patchEmbeddings.forward(pixelValues).flatten(2).transpose(1, 2); // (batch, patches, dim)
      const batch = patches.size(0);
      const classToken = this.clsToken.expand([batch, 1, dim]);
      return F.cat([classToken, this.registerTokens.expand([batch, registers, dim]), patches], 1);
    });
  }
}

/** A pre-norm layer: x += scale · attention(norm(x)); x += scale · mlp(norm(x)). (batch, tokens, dim) -> same */
export class Dinov3Layer extends nn.Module {
  readonly norm1: nn.LayerNorm;
  readonly attention: Dinov3Attention;
  readonly layerScale1: LayerScale;
  readonly norm2: nn.LayerNorm;
  readonly mlp: Dinov3Mlp;
  readonly layerScale2: LayerScale;

  constructor(config: Dinov3Config) {
    super();
    const { dim, epsilon } = config;
    this.norm1 = new nn.LayerNorm(dim, epsilon);
    this.attention = new Dinov3Attention(config);
    this.layerScale1 = new LayerScale(dim);
    this.norm2 = new nn.LayerNorm(dim, epsilon);
    this.mlp = new Dinov3Mlp(config);
    this.layerScale2 = new LayerScale(dim);
  }

  forward(x: Tensor, rotary: PatchRotary): Tensor {
    return tidy(() => {
      const attended = x.add(this.layerScale1.forward(this.attention.forward(this.norm1.forward(x), rotary)));
      return attended.add(this.layerScale2.forward(this.mlp.forward(this.norm2.forward(attended))));
    });
  }
}

/** Bidirectional self-attention, queries and keys of the patches turned by their place. */
class Dinov3Attention extends nn.Module {
  readonly qProj: nn.Linear;
  readonly kProj: nn.Linear;
  readonly vProj: nn.Linear;
  readonly oProj: nn.Linear;

  constructor(readonly config: Dinov3Config) {
    super();
    const { dim, bias } = config;
    this.qProj = new nn.Linear(dim, dim, { bias: bias.query });
    this.kProj = new nn.Linear(dim, dim, { bias: bias.key });
    this.vProj = new nn.Linear(dim, dim, { bias: bias.value });
    this.oProj = new nn.Linear(dim, dim, { bias: bias.output });
  }

  /** (batch, prefix + patches, dim) -> same; `rotary` says how many patches there are */
  forward(x: Tensor, rotary: PatchRotary): Tensor {
    const { heads } = this.config;
    const prefix = x.size(1) - rotary.cos.size(0);
    const query = rotatePatches(nn.splitHeads(this.qProj.forward(x), heads), rotary, prefix);
    const key = rotatePatches(nn.splitHeads(this.kProj.forward(x), heads), rotary, prefix);
    const value = nn.splitHeads(this.vProj.forward(x), heads);
    return this.oProj.forward(nn.mergeHeads(nn.attend(query, key, value)));
  }
}

/** down(act(up(x))), or down(act(gate(x)) · up(x)). (…, dim) -> (…, dim) */
class Dinov3Mlp extends nn.Module {
  readonly gateProj: nn.Linear | null;
  readonly upProj: nn.Linear;
  readonly downProj: nn.Linear;
  readonly #activation: Dinov3Config["activation"];

  constructor({ dim, mlpDim, gated, bias: { mlp: bias }, activation }: Dinov3Config) {
    super();
    this.gateProj = gated ? new nn.Linear(dim, mlpDim, { bias }) : null;
    this.upProj = new nn.Linear(dim, mlpDim, { bias });
    this.downProj = new nn.Linear(mlpDim, dim, { bias });
    this.#activation = activation;
  }

  forward(x: Tensor): Tensor {
    const up = this.upProj.forward(x);
    if (!this.gateProj) return this.downProj.forward(this.#activate(up));
    return this.downProj.forward(this.#activate(this.gateProj.forward(x)).mul(up));
  }

  #activate(x: Tensor): Tensor {
    return this.#activation === "silu" ? x.silu() : gelu(x, this.#activation);
  }
}
