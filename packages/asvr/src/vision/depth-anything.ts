import { nn, type Tensor, tidy } from "@asvr/torch";
import { type Dinov2Config, Dinov2Tower } from "./dinov2.js";
import { DptHead, DptNeck, type DptNeckConfig } from "./dpt.js";

export interface DepthAnythingConfig {
  /** backbone_config */
  readonly backbone: Dinov2Config;
  /** out_indices: the backbone's hidden states that depth is read from, early ones first. */
  readonly stages: readonly number[];
  /** apply_layernorm: whether they pass the backbone's final norm. */
  readonly normaliseStages: boolean;
  readonly neck: Omit<DptNeckConfig, "dim">;
  /** head_hidden_size */
  readonly headDim: number;
  /** head_in_index: which of the fused maps the head reads; the last is -1. */
  readonly headStage: number;
  /** depth_estimation_type: any scale, or at most so many metres (max_depth). */
  readonly depth: { readonly kind: "relative" } | { readonly kind: "metric"; readonly most: number };
}

export interface DepthAnythingOutput {
  /** The stages, (batch, 1 + patches, dim) each. */
  readonly featureMaps: readonly Tensor[];
  /** Coarse to fine, (batch, fusionDim, height, width) each. */
  readonly fused: readonly Tensor[];
  /** (batch, height, width): near is large where it's relative, far is large where it's metric. */
  readonly depth: Tensor;
}

/**
 * Depth Anything (Yang et al., 2024): a DINOv2 tower, and on four of its states a dense prediction transformer (Ranftl et
 * al., 2021) that says how far each pixel is. As an encoder it is the tower.
 */
export class DepthAnything extends nn.Module {
  readonly backbone: Dinov2Tower;
  readonly neck: DptNeck;
  readonly head: DptHead;
  /** Sizes of the backbone. */
  readonly config: Dinov2Config;

  /** @throws ConfigError for stages that the backbone doesn't have, and sizes that don't go together */
  constructor(readonly depthConfig: DepthAnythingConfig) {
    super();
    const { backbone, stages, neck, headDim, depth } = depthConfig;
    this.config = backbone;
    this.backbone = new Dinov2Tower(backbone);
    for (const stage of stages) this.backbone.layerOf(stage);
    this.neck = new DptNeck({ ...neck, dim: backbone.dim });
    this.head = new DptHead(neck.fusionDim, headDim, depth.kind === "metric" ? depth.most : null);
  }

  get positions(): number {
    return this.backbone.positions;
  }

  get prefixTokens(): number {
    return this.backbone.prefixTokens;
  }

  /** As `Dinov2Tower.hiddenState`. */
  hiddenState(pixelValues: Tensor, index: number): Tensor {
    return this.backbone.hiddenState(pixelValues, index);
  }

  hiddenStates(pixelValues: Tensor, last = -1): Tensor[] {
    return this.backbone.hiddenStates(pixelValues, last);
  }

  layerOf(index: number): number {
    return this.backbone.layerOf(index);
  }

  /**
   * @param pixelValues (batch, 3, height, width), the dtype and device of the weights
   * @throws ShapeError when a side is no multiple of the patch size
   */
  forward(pixelValues: Tensor): DepthAnythingOutput {
    const { stages, normaliseStages, headStage, backbone } = this.depthConfig;
    const layers = stages.map((stage) => this.backbone.layerOf(stage));
    const states = this.backbone.hiddenStates(pixelValues, Math.max(...layers));
    const featureMaps = layers.map((layer) =>
      normaliseStages ? this.backbone.layernorm.forward(states[layer]!) : states[layer]!,
    );
    const grid = { rows: pixelValues.size(2) / backbone.patchSize, columns: pixelValues.size(3) / backbone.patchSize };
    const fused = this.neck.forward(featureMaps, grid);
    const depth = this.head.forward(fused.at(headStage)!, [pixelValues.size(2), pixelValues.size(3)]);
    return { featureMaps, fused, depth };
  }

  /** Only the depth: (batch, 3, height, width) -> (batch, height, width) */
  depthOf(pixelValues: Tensor): Tensor {
    return tidy(() => this.forward(pixelValues).depth);
  }
}
