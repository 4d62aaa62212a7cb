import { nn, type Tensor } from "@asvr/torch";

/** Field names of `ddconfig` in a tokenizer's config.json beside ours. */
export interface ConvPixelDecoderConfig {
  /** decoder_in_channels: width of the latents. */
  readonly inChannels: number;
  /** out_ch */
  readonly outChannels: number;
  /** ch */
  readonly channels: number;
  /** ch_mult: the width of each level is this many times `channels`; the first level is the finest. */
  readonly multipliers: readonly number[];
  /** num_res_blocks: a level has one more. */
  readonly resBlocks: number;
  /** resolution: that of the pictures it was made for. It decides which levels have attention, and nothing else. */
  readonly resolution: number;
  /** attn_resolutions */
  readonly attentionAt: readonly number[];
}

const GROUPS = 32;

/**
 * The convolutional decoder of VQGAN (Esser et al., 2021), which DualToken paints pictures with: each level but the last
 * doubles both sides.
 */
export class ConvPixelDecoder extends nn.Module {
  readonly convIn: nn.Conv2d;
  readonly mid: DecoderMiddle;
  /** The finest level first, which is the last to be run. */
  readonly up: readonly DecoderLevel[];
  readonly normOut: nn.GroupNorm;
  readonly convOut: nn.Conv2d;

  constructor(readonly config: ConvPixelDecoderConfig) {
    super();
    const { inChannels, outChannels, channels, multipliers, resBlocks, resolution, attentionAt } = config;
    const widths = multipliers.map((multiplier) => channels * multiplier);
    const coarsest = widths.length - 1;
    this.convIn = new nn.Conv2d(inChannels, widths[coarsest]!, 3, { padding: 1 });
    this.mid = new DecoderMiddle(widths[coarsest]!);
    const atCoarsest = Math.floor(resolution / 2 ** coarsest);
    this.up = widths.map((width, level) => {
      const hasAttention = attentionAt.includes(atCoarsest * 2 ** (coarsest - level));
      const from = widths[Math.min(level + 1, coarsest)]!;
      return new DecoderLevel(from, width, { blocks: resBlocks + 1, hasAttention, doubles: level > 0 });
    });
    this.normOut = new nn.GroupNorm(GROUPS, widths[0]!, 1e-6);
    this.convOut = new nn.Conv2d(widths[0]!, outChannels, 3, { padding: 1 });
  }

  /** latents (batch, inChannels, height, width) -> (batch, outChannels, height·2^(levels-1), …), not clamped */
  forward(latents: Tensor): Tensor {
    let x = this.mid.forward(this.convIn.forward(latents));
    for (const level of this.up.toReversed()) x = level.forward(x);
    return this.convOut.forward(this.normOut.forward(x).silu());
  }
}

class DecoderMiddle extends nn.Module {
  readonly block1: ConvResnetBlock;
  readonly attn1: PlaceAttention;
  readonly block2: ConvResnetBlock;

  constructor(width: number) {
    super();
    this.block1 = new ConvResnetBlock(width, width);
    this.attn1 = new PlaceAttention(width);
    this.block2 = new ConvResnetBlock(width, width);
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { block1: "block_1", attn1: "attn_1", block2: "block_2" };
  }

  forward(x: Tensor): Tensor {
    return this.block2.forward(this.attn1.forward(this.block1.forward(x)));
  }
}

interface LevelOptions {
  readonly blocks: number;
  readonly hasAttention: boolean;
  /** Whether it doubles the sides. */
  readonly doubles: boolean;
}

class DecoderLevel extends nn.Module {
  readonly block: readonly ConvResnetBlock[];
  /** One for each block, or none. */
  readonly attn: readonly PlaceAttention[];
  readonly upsample: DoublingConvolution | null;

  constructor(inChannels: number, outChannels: number, { blocks, hasAttention, doubles }: LevelOptions) {
    super();
    const indices = Array.from({ length: blocks }, (_, index) => index);
    this.block = indices.map((index) => new ConvResnetBlock(index === 0 ? inChannels : outChannels, outChannels));
    this.attn = hasAttention ? indices.map(() => new PlaceAttention(outChannels)) : [];
    this.upsample = doubles ? new DoublingConvolution(outChannels) : null;
  }

  forward(input: Tensor): Tensor {
    let x = input;
    for (const [index, block] of this.block.entries()) {
      x = block.forward(x);
      x = this.attn[index]?.forward(x) ?? x;
    }
    return this.upsample?.forward(x) ?? x;
  }
}

/** Each pixel four times, then a 3x3 convolution. */
class DoublingConvolution extends nn.Module {
  readonly conv: nn.Conv2d;

  constructor(width: number) {
    super();
    this.conv = new nn.Conv2d(width, width, 3, { padding: 1 });
  }

  forward(x: Tensor): Tensor {
    return this.conv.forward(x.upsampleNearest2d([2 * x.size(2), 2 * x.size(3)]));
  }
}

/** Two 3x3 convolutions, each after group norm and SiLU, beside what came in. */
class ConvResnetBlock extends nn.Module {
  readonly norm1: nn.GroupNorm;
  readonly conv1: nn.Conv2d;
  readonly norm2: nn.GroupNorm;
  readonly conv2: nn.Conv2d;
  readonly ninShortcut: nn.Conv2d | null;

  constructor(inChannels: number, outChannels: number) {
    super();
    this.norm1 = new nn.GroupNorm(GROUPS, inChannels, 1e-6);
    this.conv1 = new nn.Conv2d(inChannels, outChannels, 3, { padding: 1 });
    this.norm2 = new nn.GroupNorm(GROUPS, outChannels, 1e-6);
    this.conv2 = new nn.Conv2d(outChannels, outChannels, 3, { padding: 1 });
    this.ninShortcut = inChannels === outChannels ? null : new nn.Conv2d(inChannels, outChannels, 1);
  }

  forward(x: Tensor): Tensor {
    const first = this.conv1.forward(this.norm1.forward(x).silu());
    const mixed = this.conv2.forward(this.norm2.forward(first).silu());
    return (this.ninShortcut?.forward(x) ?? x).add(mixed);
  }
}

/** Every place attends to every other, in one head, beside what came in. */
class PlaceAttention extends nn.Module {
  readonly norm: nn.GroupNorm;
  readonly q: nn.Conv2d;
  readonly k: nn.Conv2d;
  readonly v: nn.Conv2d;
  readonly projOut: nn.Conv2d;

  constructor(width: number) {
    super();
    this.norm = new nn.GroupNorm(GROUPS, width, 1e-6);
    this.q = new nn.Conv2d(width, width, 1);
    this.k = new nn.Conv2d(width, width, 1);
    this.v = new nn.Conv2d(width, width, 1);
    this.projOut = new nn.Conv2d(width, width, 1);
  }

  forward(x: Tensor): Tensor {
    const normed = this.norm.forward(x);
    const flat = (map: nn.Conv2d) => map.forward(normed).flatten(2).transpose(1, 2).unsqueeze(1);
    const attended = nn.attend(flat(this.q), flat(this.k), flat(this.v)); // (batch, 1, places, width)
    return x.add(this.projOut.forward(attended.select(1, 0).transpose(1, 2).reshape(x.shape)));
  }
}
