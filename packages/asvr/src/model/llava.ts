import { nn, type Tensor, tidy } from "@asvr/torch";
import { type LlamaConfig, type LlamaContext, LlamaForCausalLM } from "../language/llama.js";
import { Projector, type ProjectorOptions } from "../layers/projector.js";
import { buildTower, type VisionConfig } from "../vision/tower.js";
import { type FeatureSelection, type VisionTower, VisualFeatures } from "../vision/visual-features.js";
import { embedWithFeatures } from "./llava-parts.js";
import { VisionLanguageModel } from "./lvlm.js";

/** The parts of a LLaVA and how they hang together. */
export interface LlavaConfig {
  readonly vision: VisionConfig;
  /** Which of the tower's states the language model reads. */
  readonly selection: FeatureSelection;
  readonly projector: ProjectorOptions;
  readonly language: LlamaConfig;
  /** Stands in a text once for each feature of a picture. */
  readonly imageTokenId: number;
}

/**
 * A whole LLaVA (Liu et al., 2023), from pixels to hidden states. Its names are those of Hugging Face's checkpoints:
 * `vision_tower`, `multi_modal_projector`, `language_model`.
 */
export class Llava extends nn.Module {
  readonly visionTower: VisionTower;
  readonly multiModalProjector: Projector;
  readonly languageModel: LlamaForCausalLM;
  readonly #features: VisualFeatures;
  readonly #model: VisionLanguageModel;

  /** @throws ConfigError for sizes that don't go together, or a hidden state that the tower doesn't have */
  constructor(readonly config: LlavaConfig) {
    super();
    const { vision, selection, language } = config;
    this.visionTower = buildTower(vision);
    this.#features = new VisualFeatures(this.visionTower, selection);
    this.multiModalProjector = new Projector(this.#features.dim, language.hiddenSize, config.projector);
    this.languageModel = new LlamaForCausalLM(language);
    const parts = { language: this.languageModel, projector: this.multiModalProjector, supervision: null };
    this.#model = new VisionLanguageModel(parts);
  }

  /** The tower with the choice of its states: pixels to what the projector reads. */
  get features(): VisualFeatures {
    return this.#features;
  }

  /** Projector and language model, the same ones, for packed batches: `losses` and `generate`. */
  get model(): VisionLanguageModel {
    return this.#model;
  }

  /** pixelValues (images, 3, imageSize, imageSize) -> (images, positions, hiddenSize), what stands for the image tokens */
  imageFeatures(pixelValues: Tensor): Tensor {
    return tidy(() => this.multiModalProjector.forward(this.#features.forward(pixelValues)));
  }

  /**
   * @param inputIds int64 (batch, tokens), with `imageTokenId` once for each feature of every picture
   * @param pixelValues (images, 3, imageSize, imageSize), in the order of the image tokens; null for text alone
   * @param context positions and mask of padded texts, a cache
   * @returns the last hidden states after the final norm, (batch, tokens, hiddenSize), or those of `context.readout`
   * @throws ShapeError when pictures and image tokens disagree
   */
  forward(inputIds: Tensor, pixelValues: Tensor | null, context: LlamaContext = {}): Tensor {
    return tidy(() => {
      const features = pixelValues && this.imageFeatures(pixelValues).flatten(0, 1);
      const embedded = embedWithFeatures(this.languageModel, inputIds, this.config.imageTokenId, features);
      return this.languageModel.model.forward(embedded, context);
    });
  }

  /** hiddenStates (…, hiddenSize) -> logits (…, vocabSize) */
  logits(hiddenStates: Tensor): Tensor {
    return this.languageModel.logits(hiddenStates);
  }
}
