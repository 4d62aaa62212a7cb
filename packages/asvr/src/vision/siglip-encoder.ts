import { nn, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { type Gelu, gelu } from "../layers/gelu.js";

/**
 * The transformer of both SigLIP towers (Zhai et al., 2023) and of CLIP's vision tower, which differ in the activation.
 * Field names of the hub's config.json beside ours.
 */
export interface SiglipEncoderConfig {
  /** hidden_size */
  readonly dim: number;
  /** intermediate_size */
  readonly mlpDim: number;
  /** num_hidden_layers */
  readonly layers: number;
  /** num_attention_heads */
  readonly heads: number;
  /** layer_norm_eps; default 1e-6 */
  readonly epsilon?: number;
  /** hidden_act; default: the tanh form, which published SigLIP checkpoints use */
  readonly activation?: Gelu;
}

/** Bidirectional self-attention, every projection with a bias. @throws ConfigError when `dim` isn't a multiple of `heads` */
export class SiglipAttention extends nn.Module {
  /** One product for the three maps; a checkpoint has `q_proj`, `k_proj` and `v_proj`. */
  readonly qkv: nn.FusedLinear;
  readonly outProj: nn.Linear;

  constructor(
    dim: number,
    readonly heads: number,
  ) {
    super();
    if (dim % heads !== 0) {
      throw new ConfigError(`encoder: the width of ${dim} can't be divided among ${heads} heads`);
    }
    this.qkv = new nn.FusedLinear(dim, { q_proj: dim, k_proj: dim, v_proj: dim });
    this.outProj = new nn.Linear(dim, dim);
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { qkv: "" };
  }

  /** (batch, tokens, dim) -> same; `mask` bool, true where a key may be seen, broadcast to (batch, heads, tokens, tokens) */
  forward(x: Tensor, mask?: Tensor): Tensor {
    const [query, key, value] = this.qkv.forward(x).map((part) => nn.splitHeads(part, this.heads)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    return this.outProj.forward(nn.mergeHeads(nn.attend(query, key, value, { mask })));
  }
}

/** Linear, GELU, Linear. (…, dim) -> (…, dim) */
export class SiglipMlp extends nn.Module {
  readonly fc1: nn.Linear;
  readonly fc2: nn.Linear;
  readonly #activation: Gelu;

  constructor({ dim, mlpDim, activation = "gelu-tanh" }: SiglipEncoderConfig) {
    super();
    this.#activation = activation;
    this.fc1 = new nn.Linear(dim, mlpDim);
    this.fc2 = new nn.Linear(mlpDim, dim);
  }

  forward(x: Tensor): Tensor {
    return this.fc2.forward(gelu(this.fc1.forward(x), this.#activation));
  }
}

/** A pre-norm layer: x += attention(norm(x)); x += mlp(norm(x)). (batch, tokens, dim) -> same */
export class SiglipEncoderLayer extends nn.Module {
  readonly layerNorm1: nn.LayerNorm;
  readonly selfAttn: SiglipAttention;
  readonly layerNorm2: nn.LayerNorm;
  readonly mlp: SiglipMlp;

  constructor(config: SiglipEncoderConfig) {
    super();
    const { dim, heads, epsilon = 1e-6 } = config;
    this.layerNorm1 = new nn.LayerNorm(dim, epsilon);
    this.selfAttn = new SiglipAttention(dim, heads);
    this.layerNorm2 = new nn.LayerNorm(dim, epsilon);
    this.mlp = new SiglipMlp(config);
  }

  forward(x: Tensor, mask?: Tensor): Tensor {
    const attended = x.add(this.selfAttn.forward(this.layerNorm1.forward(x), mask));
    return attended.add(this.mlp.forward(this.layerNorm2.forward(attended)));
  }
}

export interface EncoderPass {
  /** bool, true where a key may be seen, broadcast to (batch, heads, tokens, tokens) */
  readonly mask?: Tensor;
  /** How many of the layers; default all. */
  readonly count?: number;
}

/** A stack of layers. */
export class SiglipEncoder extends nn.Module {
  readonly layers: readonly SiglipEncoderLayer[];

  constructor(config: SiglipEncoderConfig) {
    super();
    this.layers = Array.from({ length: config.layers }, () => new SiglipEncoderLayer(config));
  }

  /** The output of layers `from` to `count` - 1, all of them by default. (batch, tokens, dim) -> same */
  forward(x: Tensor, { mask, from = 0, count = this.layers.length }: EncoderPass & { from?: number } = {}): Tensor {
    let hiddenState = x;
    // A scope a layer: what backward needs stays alive in libtorch, the rest is freed at once.
    for (const layer of this.layers.slice(from, count)) {
      const input = hiddenState;
      hiddenState = tidy(() => layer.forward(input, mask));
    }
    return hiddenState;
  }

  /** The input and every layer's output, up to that of layer `count`: count + 1 tensors (batch, tokens, dim). */
  hiddenStates(x: Tensor, { mask, count = this.layers.length }: EncoderPass = {}): Tensor[] {
    const states = [x];
    for (const layer of this.layers.slice(0, count)) states.push(tidy(() => layer.forward(states.at(-1)!, mask)));
    return states;
  }

  /** As `layerOf(index, layers)` of this stack. */
  layerOf(index: number): number {
    return layerOf(index, this.layers.length);
  }
}

/**
 * The number of layers before the hidden state of this index: 0 is the input, k the output of layer k, and a negative
 * index counts from the end, so that -1 is the last layer's output.
 * @throws ConfigError when there is none
 */
export function layerOf(index: number, layers: number): number {
  const layer = index < 0 ? layers + 1 + index : index;
  if (!Number.isInteger(layer) || layer < 0 || layer > layers) {
    throw new ConfigError(
      `encoder: there is no hidden state ${index}: a tower of ${layers} layers has 0 to ${layers}, or -${layers + 1} to -1`,
    );
  }
  return layer;
}
