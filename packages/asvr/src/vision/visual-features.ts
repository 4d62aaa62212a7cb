import { F, type Tensor } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import type { ClipVisionTower } from "./clip.js";
import type { SiglipVisionTower } from "./siglip.js";

/** A vision tower whose hidden states can be features. */
export type VisionTower = ClipVisionTower | SiglipVisionTower;

/**
 * Which positions of a hidden state are features: `full`, all; `default`, all but the first, which is CLIP's class token.
 * Of a tower without one `default` drops the first patch, as the reference does.
 */
export type SelectStrategy = "default" | "full";

export interface FeatureSelection {
  /** Hidden states by index, 0 the first layer's input, -1 the last layer's output; of several the vectors are joined. */
  readonly layers: readonly number[];
  readonly strategy: SelectStrategy;
}

/**
 * A vision tower and which of its hidden states a language model reads: LLaVA's `vision_feature_layer` and
 * `vision_feature_select_strategy`. The tower stays its owner's.
 */
export class VisualFeatures {
  /** @throws ConfigError when there is no such layer, or none is asked for */
  constructor(
    readonly tower: VisionTower,
    readonly selection: FeatureSelection,
  ) {
    if (selection.layers.length === 0) throw new ConfigError("visual features: no layer is selected");
    for (const layer of selection.layers) tower.layerOf(layer);
  }

  /** Features of a picture. */
  get positions(): number {
    return this.tower.positions - (this.selection.strategy === "default" ? 1 : 0);
  }

  /** Length of a feature's vector. */
  get dim(): number {
    return this.tower.config.dim * this.selection.layers.length;
  }

  /**
   * @param pixelValues (images, 3, imageSize, imageSize)
   * @returns (images, positions, dim)
   * @throws ShapeError for pictures of another size
   */
  forward(pixelValues: Tensor): Tensor {
    const { layers, strategy } = this.selection;
    const indices = layers.map((layer) => this.tower.layerOf(layer));
    const states = this.tower.hiddenStates(pixelValues, Math.max(...indices));
    const joined = F.cat(
      indices.map((index) => states[index]!),
      -1,
    );
    return strategy === "default" ? joined.narrow(1, 1, joined.size(1) - 1) : joined;
  }
}
