import { F, nn, type Tensor } from "@asvr/torch";
import { ConfigError } from "../errors.js";

/**
 * DualToken's residual block around its quantizers, used to change the width (`ProjectResnetBlock` there) and, at equal
 * widths, before its decoder (`PostQuantResnetBlock`): a 1x1 and a 3x3 convolution, each after group norm and SiLU.
 */
export class QuantResnetBlock extends nn.Module {
  readonly norm1: nn.GroupNorm;
  readonly conv1: nn.Conv2d;
  readonly norm2: nn.GroupNorm;
  readonly conv2: nn.Conv2d;
  readonly ninShortcut: nn.Conv2d | null;

  /** @throws ConfigError when a width is no multiple of the 32 groups */
  constructor(inChannels: number, outChannels: number, groups = 32) {
    super();
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new ConfigError(
        `QuantResnetBlock: ${inChannels} and ${outChannels} channels must both be multiples of the ${groups} groups`,
      );
    }
    this.norm1 = new nn.GroupNorm(groups, inChannels, 1e-6);
    this.conv1 = new nn.Conv2d(inChannels, outChannels, 1);
    this.norm2 = new nn.GroupNorm(groups, outChannels, 1e-6);
    this.conv2 = new nn.Conv2d(outChannels, outChannels, 3, { padding: 1 });
    this.ninShortcut = inChannels === outChannels ? null : new nn.Conv2d(inChannels, outChannels, 1);
  }

  /** (batch, inChannels, height, width) -> (batch, outChannels, height, width) */
  forward(x: Tensor): Tensor {
    const narrow = this.conv1.forward(this.norm1.forward(x).silu());
    const mixed = this.conv2.forward(this.norm2.forward(narrow).silu());
    return (this.ninShortcut?.forward(x) ?? x).add(mixed);
  }
}

export interface AttentionProjectionConfig {
  readonly inDim: number;
  readonly outDim: number;
  /** Position i sees positions up to i: DualToken's blocks after the quantizer. Before it: false. */
  readonly causal: boolean;
}

/**
 * DualToken's `AttnProjection`: a transformer layer that changes the width, down before the quantizer and up after it.
 * @throws ConfigError when neither width is a multiple of the other
 */
export class AttentionProjection extends nn.Module {
  readonly norm1: nn.LayerNorm;
  readonly attn: ProjectingAttention;
  readonly proj: nn.Linear;
  readonly norm3: nn.LayerNorm;
  readonly norm2: nn.LayerNorm;
  readonly mlp: GeGlu;

  constructor(config: AttentionProjectionConfig) {
    super();
    const { inDim, outDim } = config;
    this.norm1 = new nn.LayerNorm(inDim);
    this.attn = new ProjectingAttention(config);
    this.proj = new nn.Linear(inDim, outDim);
    this.norm3 = new nn.LayerNorm(inDim);
    this.norm2 = new nn.LayerNorm(outDim);
    this.mlp = new GeGlu(outDim, 2 * outDim);
  }

  /** (batch, positions, inDim) -> (batch, positions, outDim) */
  forward(x: Tensor): Tensor {
    const projected = this.proj.forward(this.norm3.forward(x)).add(this.attn.forward(this.norm1.forward(x)));
    return projected.add(this.mlp.forward(this.norm2.forward(projected)));
  }
}

/**
 * Attention over heads as wide as the narrower side. Going up the heads lie side by side; going down they are averaged.
 * Queries and values have a bias, keys have none (a checkpoint stores its zeros).
 */
class ProjectingAttention extends nn.Module {
  readonly qBias: Tensor;
  readonly vBias: Tensor;
  /** Zeros. */
  readonly keyBias: Tensor;
  readonly qkv: nn.Linear;
  readonly proj: nn.Linear;
  readonly #heads: number;

  constructor(readonly config: AttentionProjectionConfig) {
    super();
    const { inDim, outDim } = config;
    const width = Math.max(inDim, outDim);
    this.#heads = width / Math.min(inDim, outDim);
    if (!Number.isInteger(this.#heads)) {
      throw new ConfigError(
        `AttentionProjection: of the widths ${inDim} and ${outDim}, one must be a multiple of the other`,
      );
    }
    this.qBias = nn.parameter([width], (bias) => void bias.zero_());
    this.vBias = nn.parameter([width], (bias) => void bias.zero_());
    this.keyBias = nn.buffer(nn.parameter([width], (bias) => void bias.zero_()).setRequiresGrad(false));
    this.qkv = new nn.Linear(inDim, 3 * width, { bias: false });
    this.proj = new nn.Linear(outDim, outDim);
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { keyBias: "zero_k_bias" };
  }

  /** (batch, positions, inDim) -> (batch, positions, outDim) */
  forward(x: Tensor): Tensor {
    const { inDim, outDim, causal } = this.config;
    const bias = F.cat([this.qBias, this.keyBias, this.vBias]);
    const [query, key, value] = F.linear(x, this.qkv.weight, bias)
      .chunk(3, -1)
      .map((part) => nn.splitHeads(part, this.#heads)) as [Tensor, Tensor, Tensor];
    const attended = nn.attend(query, key, value, { causal }); // (batch, heads, positions, the narrower width)
    return this.proj.forward(inDim > outDim ? attended.mean(1) : nn.mergeHeads(attended));
  }
}

/** LayerNorm, then W2 (gelu(W0 x) · W1 x). (…, dim) -> (…, dim) */
class GeGlu extends nn.Module {
  readonly norm: nn.LayerNorm;
  /** One product for both halves; a checkpoint has `w0` and `w1`. */
  readonly gates: nn.FusedLinear;
  readonly w2: nn.Linear;

  constructor(dim: number, hidden: number) {
    super();
    this.norm = new nn.LayerNorm(dim, 1e-6);
    this.gates = new nn.FusedLinear(dim, { w0: hidden, w1: hidden });
    this.w2 = new nn.Linear(hidden, dim);
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { gates: "" };
  }

  forward(x: Tensor): Tensor {
    const [gate, value] = this.gates.forward(this.norm.forward(x)) as [Tensor, Tensor];
    return this.w2.forward(gate.gelu("tanh").mul(value));
  }
}
