import { nn, type Tensor } from "@asvr/torch";
import { ConfigError } from "../errors.js";

/** Field names of Depth Anything's config.json beside ours. */
export interface DptNeckConfig {
  /** Width of the hidden states. */
  readonly dim: number;
  /** reassemble_factors: how much finer (or, below 1, coarser) than the patches each stage becomes. */
  readonly factors: readonly number[];
  /** neck_hidden_sizes: width of each stage. */
  readonly widths: readonly number[];
  /** fusion_hidden_size */
  readonly fusionDim: number;
}

interface Grid {
  readonly rows: number;
  readonly columns: number;
}

/** From hidden states of a transformer to feature maps, fused from the coarsest to the finest (Ranftl et al., 2021). */
export class DptNeck extends nn.Module {
  readonly reassemble: readonly ReassembleLayer[];
  readonly convs: readonly nn.Conv2d[];
  readonly fusion: readonly FusionLayer[];

  /** @throws ConfigError when stages and factors are not equally many, or a factor can't be had */
  constructor({ dim, factors, widths, fusionDim }: DptNeckConfig) {
    super();
    if (factors.length !== widths.length) {
      throw new ConfigError(`DPT: there are ${factors.length} factors for ${widths.length} stages`);
    }
    this.reassemble = widths.map((width, stage) => new ReassembleLayer(dim, width, factors[stage]!));
    this.convs = widths.map((width) => new nn.Conv2d(width, fusionDim, 3, { padding: 1, bias: false }));
    this.fusion = widths.map(() => new FusionLayer(fusionDim));
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { reassemble: "reassemble_stage.layers", fusion: "fusion_stage.layers" };
  }

  /**
   * @param states one a stage, early ones first, (batch, 1 + rows·columns, dim)
   * @returns one fused map a stage, coarse to fine, (batch, fusionDim, height, width) each
   */
  forward(states: readonly Tensor[], grid: Grid): Tensor[] {
    const maps = states.map((state, stage) =>
      this.convs[stage]!.forward(this.reassemble[stage]!.forward(withoutClassToken(state, grid))),
    );
    const coarseFirst = maps.toReversed();
    const fused: Tensor[] = [];
    for (const [index, map] of coarseFirst.entries()) {
      const next = coarseFirst[index + 1];
      const size = next ? sizeOf(next) : ([2 * map.size(2), 2 * map.size(3)] as const);
      fused.push(this.fusion[index]!.forward(map, fused.at(-1) ?? null, size));
    }
    return fused;
  }
}

/** (batch, 1 + rows·columns, dim) -> (batch, dim, rows, columns) */
function withoutClassToken(state: Tensor, { rows, columns }: Grid): Tensor {
  const [batch, , dim] = state.shape as [number, number, number];
  const patches = state.narrow(1, 1, rows * columns).transpose(1, 2);
  return patches.reshape([batch, dim, rows, columns]);
}

function sizeOf(map: Tensor): readonly [number, number] {
  return [map.size(2), map.size(3)];
}

/** A stage's width, then its size: `factor` times the patches' grid. */
class ReassembleLayer extends nn.Module {
  readonly projection: nn.Conv2d;
  readonly resize: nn.ConvTranspose2d | nn.Conv2d | null;

  constructor(inDim: number, width: number, factor: number) {
    super();
    this.projection = new nn.Conv2d(inDim, width, 1);
    this.resize = resizingBy(factor, width);
  }

  forward(map: Tensor): Tensor {
    const projected = this.projection.forward(map);
    return this.resize?.forward(projected) ?? projected;
  }
}

function resizingBy(factor: number, width: number): nn.ConvTranspose2d | nn.Conv2d | null {
  if (factor === 1) return null;
  if (factor > 1 && Number.isInteger(factor)) return new nn.ConvTranspose2d(width, width, factor, { stride: factor });
  const stride = 1 / factor;
  if (factor > 0 && Number.isInteger(stride)) return new nn.Conv2d(width, width, 3, { stride, padding: 1 });
  throw new ConfigError(`DPT: a stage can't be made ${factor} times as fine: expected a whole number, or 1 over one`);
}

/** Adds a stage to what was fused before it, refines the sum and resizes it. */
class FusionLayer extends nn.Module {
  readonly projection: nn.Conv2d;
  /** Of the stage that joins; the first one has none to join, and leaves it unused. */
  readonly residualLayer1: PreActivationBlock;
  readonly residualLayer2: PreActivationBlock;

  constructor(dim: number) {
    super();
    this.projection = new nn.Conv2d(dim, dim, 1);
    this.residualLayer1 = new PreActivationBlock(dim);
    this.residualLayer2 = new PreActivationBlock(dim);
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { residualLayer1: "residual_layer1", residualLayer2: "residual_layer2" };
  }

  /** (batch, dim, h, w), what was fused before or null, size -> (batch, dim, ...size) */
  forward(map: Tensor, before: Tensor | null, size: readonly [number, number]): Tensor {
    const joined = before ? before.add(this.residualLayer1.forward(resized(map, sizeOf(before), false))) : map;
    const refined = this.residualLayer2.forward(joined);
    return this.projection.forward(refined.upsampleBilinear2d(size, true));
  }
}

function resized(map: Tensor, size: readonly [number, number], alignCorners: boolean): Tensor {
  return sizeOf(map).join() === size.join() ? map : map.upsampleBilinear2d(size, alignCorners);
}

/** x + conv(relu(conv(relu(x)))) */
class PreActivationBlock extends nn.Module {
  readonly convolution1: nn.Conv2d;
  readonly convolution2: nn.Conv2d;

  constructor(dim: number) {
    super();
    this.convolution1 = new nn.Conv2d(dim, dim, 3, { padding: 1 });
    this.convolution2 = new nn.Conv2d(dim, dim, 3, { padding: 1 });
  }

  forward(x: Tensor): Tensor {
    return x.add(this.convolution2.forward(this.convolution1.forward(x.relu()).relu()));
  }
}

/** A depth for each pixel. */
export class DptHead extends nn.Module {
  readonly conv1: nn.Conv2d;
  readonly conv2: nn.Conv2d;
  readonly conv3: nn.Conv2d;

  /** @param most the largest depth in metres; null: depth is relative */
  constructor(
    fusionDim: number,
    headDim: number,
    readonly most: number | null,
  ) {
    super();
    this.conv1 = new nn.Conv2d(fusionDim, Math.floor(fusionDim / 2), 3, { padding: 1 });
    this.conv2 = new nn.Conv2d(Math.floor(fusionDim / 2), headDim, 3, { padding: 1 });
    this.conv3 = new nn.Conv2d(headDim, 1, 1);
  }

  /** fused (batch, fusionDim, h, w), size of the picture -> (batch, height, width), at least 0 */
  forward(fused: Tensor, size: readonly [number, number]): Tensor {
    const whole = this.conv1.forward(fused).upsampleBilinear2d(size, true);
    const depth = this.conv3.forward(this.conv2.forward(whole).relu()).select(1, 0);
    return this.most === null ? depth.relu() : depth.sigmoid().mul(this.most);
  }
}
