import { F, type nn, type Tensor } from "@asvr/torch";
import { ConfigError } from "../errors.js";

/** A vision tower whose hidden states can be features. */
export interface VisionTower extends nn.Module {
  readonly config: { readonly dim: number; readonly layers: number; readonly imageSize: number };
  /** Vectors of a hidden state, of a picture of the configured size. */
  readonly positions: number;
  /** How many of them come before the patches: class and register tokens. */
  readonly prefixTokens: number;
  /**
   * One hidden state, computed no further than needed: 0 is the first layer's input, k the output of layer k, and a
   * negative index counts from the end. No norm comes after it.
   * @param pixelValues (batch, 3, height, width)
   * @returns (batch, positions, dim)
   * @throws ConfigError when there is no such layer; ShapeError for pictures that the tower doesn't take
   */
  hiddenState(pixelValues: Tensor, index: number): Tensor;
  /** Hidden states 0 to `last` (an index as in `hiddenState`, default -1). */
  hiddenStates(pixelValues: Tensor, last?: number): Tensor[];
  /** The number of layers before the hidden state of this index. @throws ConfigError when there is none */
  layerOf(index: number): number;
}

/**
 * Which positions of a hidden state are features: `full`, all; `default`, all but the first, which is CLIP's class token
 * (of a tower without one it drops the first patch, as the reference does); `patches`, all but the tower's class and
 * register tokens.
 */
export type SelectStrategy = "default" | "full" | "patches";

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
    return this.tower.positions - this.#dropped;
  }

  /** Length of a feature's vector. */
  get dim(): number {
    return this.tower.config.dim * this.selection.layers.length;
  }

  /**
   * @param pixelValues (images, 3, imageSize, imageSize), or another size that the tower takes
   * @returns (images, positions, dim)
   * @throws ShapeError for pictures of another size
   */
  forward(pixelValues: Tensor): Tensor {
    const indices = this.selection.layers.map((layer) => this.tower.layerOf(layer));
    const states = this.tower.hiddenStates(pixelValues, Math.max(...indices));
    const joined = F.cat(
      indices.map((index) => states[index]!),
      -1,
    );
    const dropped = this.#dropped;
    return dropped > 0 ? joined.narrow(1, dropped, joined.size(1) - dropped) : joined;
  }

  get #dropped(): number {
    const { strategy } = this.selection;
    return strategy === "full" ? 0 : strategy === "default" ? 1 : this.tower.prefixTokens;
  }
}
