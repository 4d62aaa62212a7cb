import { F, nn, ShapeError, type Tensor, tensor } from "@asvr/torch";
import { unfoldPatches } from "./patches.js";
import { resizePositions } from "./position-grid.js";
import { AttentionPoolingHead, type SiglipVisionOutput } from "./siglip.js";
import { SiglipEncoder, type SiglipEncoderConfig } from "./siglip-encoder.js";

export interface SiglipFlexConfig extends SiglipEncoderConfig {
  readonly patchSize: number;
  /** Rows and columns of the table of positions, which every picture's grid is resized from. */
  readonly gridSide: number;
  /** Side of the pictures whose grid needs no resizing. */
  readonly imageSize: number;
  readonly head: "attention-pooling" | "none";
}

/** Pictures of several shapes, cut into patches. */
export interface FlexPictures {
  /** (batch, the most patches, patchSize²·3), row by row; within a patch row, column, channel. Behind a picture's last: pads. */
  readonly patches: Tensor;
  /** Rows and columns of each picture. */
  readonly shapes: readonly (readonly [rows: number, columns: number])[];
}

/**
 * SigLIP 2 with flexible resolution (Tschannen et al., 2025, "NaFlex"): pictures keep their aspect ratio, a batch may
 * hold several shapes, and learned positions are resized to each. Checkpoint names begin with `vision_model.`, which is a
 * prefix for `load`. At a fixed resolution SigLIP 2 is `SiglipVisionTower`.
 */
export class SiglipFlexTower extends nn.Module {
  readonly embeddings: SiglipFlexEmbeddings;
  readonly encoder: SiglipEncoder;
  readonly postLayernorm: nn.LayerNorm;
  readonly head: AttentionPoolingHead | null;

  /** @throws ConfigError when the width is no multiple of the heads */
  constructor(readonly config: SiglipFlexConfig) {
    super();
    this.embeddings = new SiglipFlexEmbeddings(config);
    this.encoder = new SiglipEncoder(config);
    this.postLayernorm = new nn.LayerNorm(config.dim, config.epsilon ?? 1e-6);
    this.head = config.head === "attention-pooling" ? new AttentionPoolingHead(config) : null;
  }

  /** Patches of a picture of `imageSize`. */
  get positions(): number {
    return this.config.gridSide ** 2;
  }

  /** Positions before the patches: it has no class token. */
  get prefixTokens(): number {
    return 0;
  }

  /** @throws ShapeError when patches and shapes disagree */
  forward(pictures: FlexPictures): SiglipVisionOutput {
    const mask = maskOf(pictures);
    const hiddenState = this.encoder.forward(this.embeddings.forward(pictures), { mask });
    const lastHiddenState = this.postLayernorm.forward(hiddenState);
    return { lastHiddenState, pooled: this.head?.forward(lastHiddenState, mask) ?? null };
  }

  /**
   * Hidden states 0 to `last`, each (batch, the most patches, dim): 0 is the embeddings, k the output of layer k, and a
   * negative index counts from the end. What stands at pads means nothing.
   * @throws ConfigError when there is no such layer
   */
  hiddenStatesOf(pictures: FlexPictures, last = -1): Tensor[] {
    const pass = { mask: maskOf(pictures), count: this.layerOf(last) };
    return this.encoder.hiddenStates(this.embeddings.forward(pictures), pass);
  }

  /**
   * One hidden state, as in `hiddenStatesOf`, of pictures of one shape.
   * @param pixelValues (batch, 3, height, width), both multiples of the patch size
   * @returns (batch, patches, dim)
   */
  hiddenState(pixelValues: Tensor, index: number): Tensor {
    const pictures = flexPictures(pixelValues, this.config.patchSize);
    return this.encoder.forward(this.embeddings.forward(pictures), { count: this.layerOf(index) });
  }

  /** Hidden states 0 to `last` of pictures of one shape, as `hiddenState` takes them. */
  hiddenStates(pixelValues: Tensor, last = -1): Tensor[] {
    return this.hiddenStatesOf(flexPictures(pixelValues, this.config.patchSize), last);
  }

  /** The number of layers before the hidden state of this index. @throws ConfigError when there is none */
  layerOf(index: number): number {
    return this.encoder.layerOf(index);
  }
}

/** A linear map of each patch, plus positions resized to its picture's grid. */
export class SiglipFlexEmbeddings extends nn.Module {
  readonly patchEmbedding: nn.Linear;
  readonly positionEmbedding: nn.Embedding;

  constructor(readonly config: Pick<SiglipFlexConfig, "dim" | "patchSize" | "gridSide">) {
    super();
    const { dim, patchSize, gridSide } = config;
    this.patchEmbedding = new nn.Linear(3 * patchSize * patchSize, dim);
    this.positionEmbedding = new nn.Embedding(gridSide ** 2, dim, { standardDeviation: 0.02 });
  }

  /** -> (batch, the most patches, dim) */
  forward({ patches, shapes }: FlexPictures): Tensor {
    const patchDim = 3 * this.config.patchSize ** 2;
    const [batch = 0, most = 0, width = 0] = patches.shape;
    const largest = Math.max(0, ...shapes.map(([rows, columns]) => rows * columns));
    if (patches.shape.length !== 3 || width !== patchDim || batch !== shapes.length || largest > most) {
      throw new ShapeError(
        `SigLIP 2: patches is (${patches.shape.join(", ")}) for ${shapes.length} pictures of ` +
          `${shapes.map((shape) => shape.join(" x ")).join(", ")} patches; expected (batch, at least ${largest}, ${patchDim})`,
      );
    }
    const positions = shapes.map(([rows, columns]) => {
      const resized = resizePositions(this.positionEmbedding.weight, rows, columns, "bilinear-antialiased");
      return resized.constantPadNd([0, 0, 0, most - rows * columns]); // none at pads
    });
    return this.patchEmbedding.forward(patches).add(F.stack(positions));
  }
}

/** Pictures of one shape: (batch, 3, height, width). @throws ShapeError when a side is no multiple of `patchSize` */
export function flexPictures(pixelValues: Tensor, patchSize: number): FlexPictures {
  const channelsFirst = unfoldPatches(pixelValues, patchSize);
  const [batch, count, patchDim] = channelsFirst.shape as [number, number, number];
  const patches = channelsFirst
    .view([batch, count, 3, patchSize * patchSize])
    .transpose(2, 3)
    .reshape([batch, count, patchDim]);
  const shape = [pixelValues.size(2) / patchSize, pixelValues.size(3) / patchSize] as const;
  return { patches, shapes: Array.from({ length: batch }, () => shape) };
}

/** (batch, 1, 1, the most patches), bool, true for patches: nothing sees a pad. Undefined where there is none. */
function maskOf({ patches, shapes }: FlexPictures): Tensor | undefined {
  const counts = shapes.map(([rows, columns]) => rows * columns);
  const most = patches.size(1);
  if (counts.every((count) => count === most)) return undefined;
  const { device } = patches;
  const limits = tensor(counts, { dtype: "int64", device }).view([counts.length, 1, 1, 1]);
  return F.arange(0, most, 1, "int64", device).lt(limits);
}

/**
 * The size that a picture is resized to before it is cut: as large as `maxPatches` allow at its aspect ratio, each side
 * rounded up to whole patches. Found by halving, as the reference finds it, so that both agree on every size.
 */
export function flexSize(
  { height, width }: { readonly height: number; readonly width: number },
  { patchSize = 16, maxPatches = 256 }: { readonly patchSize?: number; readonly maxPatches?: number } = {},
): { height: number; width: number } {
  const patchesAt = (side: number, scale: number) => Math.max(1, Math.ceil((side * scale) / patchSize));
  let [low, high] = [1e-6, 100];
  while (high - low >= 1e-5) {
    const scale = (low + high) / 2;
    if (patchesAt(height, scale) * patchesAt(width, scale) <= maxPatches) low = scale;
    else high = scale;
  }
  return { height: patchesAt(height, low) * patchSize, width: patchesAt(width, low) * patchSize };
}
