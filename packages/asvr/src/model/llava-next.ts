import { F, nn, ShapeError, type Tensor, tidy } from "@asvr/torch";
import { type PictureSize, type Tiling, type TilingSettings, tilingOf } from "../data/tiling.js";
import { ConfigError } from "../errors.js";
import { type LlamaContext, LlamaForCausalLM } from "../language/llama.js";
import { Projector } from "../layers/projector.js";
import { buildTower } from "../vision/tower.js";
import { type VisionTower, VisualFeatures } from "../vision/visual-features.js";
import type { LlavaConfig } from "./llava.js";
import { embedWithFeatures } from "./llava-parts.js";

export interface LlavaNextConfig extends LlavaConfig {
  /** `image_grid_pinpoints`: the sizes that a picture may be brought to before it is cut into tiles. */
  readonly pinpoints: readonly PictureSize[];
}

/**
 * LLaVA-NeXT (LLaVA 1.6; Liu et al., 2024): a picture is seen as a whole and in tiles, without what only pads them, and
 * a learned newline ends each row of the tiles' patches. Names are those of Hugging Face's checkpoints.
 */
export class LlavaNext extends nn.Module {
  readonly visionTower: VisionTower;
  readonly multiModalProjector: Projector;
  /** (hiddenSize) */
  readonly imageNewline: Tensor;
  readonly languageModel: LlamaForCausalLM;
  readonly #features: VisualFeatures;

  /** @throws ConfigError for sizes that don't go together, or features that are no square of patches */
  constructor(readonly config: LlavaNextConfig) {
    super();
    const { vision, selection, language } = config;
    this.visionTower = buildTower(vision);
    this.#features = new VisualFeatures(this.visionTower, selection);
    if (this.#features.positions !== this.#grid ** 2) {
      this.visionTower.dispose();
      throw new ConfigError(
        `LLaVA-NeXT: a tile has ${this.#grid ** 2} patches, but the strategy "${selection.strategy}" selects ` +
          `${this.#features.positions} positions of a ${vision.kind} tower`,
      );
    }
    this.multiModalProjector = new Projector(this.#features.dim, language.hiddenSize, config.projector);
    const scale = language.hiddenSize ** -0.5;
    this.imageNewline = nn.parameter([language.hiddenSize], (newline) => void newline.normal_(0, scale));
    this.languageModel = new LlamaForCausalLM(language);
  }

  /** How it sees a picture, and as how many tokens. */
  tiling(picture: PictureSize): Tiling {
    return tilingOf(picture, this.#tilingSettings);
  }

  /**
   * @param pixelValues (images, 1 + tiles, 3, tileSize, tileSize): the whole picture, then its tiles row by row, then
   * anything, where another picture has more tiles
   * @param sizes of the pictures before they were resized
   * @returns (image tokens, hiddenSize), picture after picture
   * @throws ShapeError when pictures, sizes and tiles disagree
   */
  imageFeatures(pixelValues: Tensor, sizes: readonly PictureSize[]): Tensor {
    return tidy(() => {
      const tilings = sizes.map((size) => this.tiling(size));
      const counts = tilings.map(({ tiles }) => 1 + tiles.rows * tiles.columns);
      if (pixelValues.size(0) !== sizes.length || pixelValues.size(1) < Math.max(...counts)) {
        throw new ShapeError(
          `LLaVA-NeXT: pixelValues is (${pixelValues.shape.join(", ")}), but the pictures' sizes make ` +
            `${sizes.length} pictures of ${counts.join(", ")} tiles, the whole one counted`,
        );
      }
      const tiles = F.cat(
        counts.map((count, image) => pixelValues.select(0, image).narrow(0, 0, count)),
        0,
      );
      const features = this.multiModalProjector.forward(this.#features.forward(tiles)); // (all tiles, grid², hiddenSize)
      const pictures = features.splitWithSizes(counts, 0);
      return F.cat(
        tilings.flatMap((tiling, image) => [pictures[image]!.select(0, 0), this.#shown(pictures[image]!, tiling)]),
        0,
      );
    });
  }

  /**
   * @param inputIds int64 (batch, tokens), with `imageTokenId` once for each feature of every picture
   * @param features from `imageFeatures`, in the order of the image tokens; null for text alone
   * @param context positions and mask of padded texts, a cache
   * @returns the last hidden states after the final norm, (batch, tokens, hiddenSize), or those of `context.readout`
   * @throws ShapeError when features and image tokens disagree
   */
  forward(inputIds: Tensor, features: Tensor | null, context: LlamaContext = {}): Tensor {
    return tidy(() => {
      const embedded = embedWithFeatures(this.languageModel, inputIds, this.config.imageTokenId, features);
      return this.languageModel.model.forward(embedded, context);
    });
  }

  /** hiddenStates (…, hiddenSize) -> logits (…, vocabSize) */
  logits(hiddenStates: Tensor): Tensor {
    return this.languageModel.logits(hiddenStates);
  }

  /** A picture's tiles as one map of patches, what shows the picture, newlines. (1 + tiles, grid², dim) -> (tokens, dim) */
  #shown(features: Tensor, { tiles: { rows, columns }, shown }: Tiling): Tensor {
    const [grid, dim] = [this.#grid, features.size(-1)];
    const map = features
      .narrow(0, 1, rows * columns)
      .reshape([rows, columns, grid, grid, dim])
      .permute([0, 2, 1, 3, 4])
      .reshape([rows * grid, columns * grid, dim])
      .narrow(0, shown.top, shown.rows)
      .narrow(1, shown.left, shown.columns);
    return F.cat([map, this.imageNewline.expand([shown.rows, 1, dim])], 1).flatten(0, 1);
  }

  get #tilingSettings(): TilingSettings {
    const { pinpoints, vision } = this.config;
    return { pinpoints, tileSize: vision.config.imageSize, patchSize: vision.config.patchSize };
  }

  /** Patches along a tile's side. */
  get #grid(): number {
    const { imageSize, patchSize } = this.config.vision.config;
    return Math.floor(imageSize / patchSize);
  }
}
