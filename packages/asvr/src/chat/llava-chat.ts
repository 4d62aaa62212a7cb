import { defaultDevice, noGrad, type Tensor, tensor, tidy } from "@asvr/torch";
import type { RgbImage } from "../data/images.js";
import { type Preprocessing, preprocess } from "../data/preprocess.js";
import { tilesOf } from "../data/tiles.js";
import type { ChatTemplate } from "../language/chat-template.js";
import type { SamplingOptions } from "../language/decoding/sampling.js";
import type { LlamaForCausalLM } from "../language/llama.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import type { Llava } from "../model/llava.js";
import { LlavaNext } from "../model/llava-next.js";
import type { ChatMessage, ChatModel, ChatPrompt } from "./chat-model.js";
import { picturesOf, renderable } from "./messages.js";
import { promptIds } from "./prompt-ids.js";
import { squareGrid, type VisualGrid } from "./visual-grid.js";

export interface LlavaChatParts {
  readonly name: string;
  readonly llava: Llava | LlavaNext;
  readonly tokenizer: TextTokenizer;
  readonly template: ChatTemplate;
  /** How a picture, or a tile of it, becomes the tower's square. */
  readonly preprocessing: Preprocessing;
  readonly stopIds: readonly number[];
  /** Default: greedy. */
  readonly drawing?: SamplingOptions;
}

/** A LLaVA or LLaVA-NeXT with what its folder says of words and pictures. Owns the model. */
export class LlavaChat implements ChatModel {
  constructor(readonly parts: LlavaChatParts) {}

  get name(): string {
    return this.parts.name;
  }

  get language(): LlamaForCausalLM {
    return this.parts.llava.languageModel;
  }

  get tokenizer(): TextTokenizer {
    return this.parts.tokenizer;
  }

  get imageTokenId(): number {
    return this.parts.llava.config.imageTokenId;
  }

  get stopIds(): readonly number[] {
    return this.parts.stopIds;
  }

  get drawing(): SamplingOptions {
    return this.parts.drawing ?? {};
  }

  get contextLength(): number {
    return this.language.config.maxPositionEmbeddings ?? Number.POSITIVE_INFINITY;
  }

  prompt(messages: readonly ChatMessage[]): ChatPrompt {
    const { llava, template, tokenizer } = this.parts;
    const pictures = picturesOf(messages);
    const text = template.render(renderable(messages), { addGenerationPrompt: true });
    const tokenCounts = pictures.map((picture) =>
      llava instanceof LlavaNext ? llava.tiling(picture).tokens : llava.features.positions,
    );
    const { vocabSize } = this.language.config;
    const inputIds = promptIds(tokenizer, text, { imageTokenId: this.imageTokenId, tokenCounts, vocabSize });
    return { inputIds, pictures };
  }

  see(picture: RgbImage): Tensor {
    const { llava } = this.parts;
    return noGrad(() =>
      tidy(() => {
        if (!(llava instanceof LlavaNext)) return llava.imageFeatures(this.#pixels([picture])).select(0, 0);
        const tiling = llava.tiling(picture);
        const tiles = tilesOf(picture, tiling, this.parts.preprocessing.size);
        return llava.imageFeatures(this.#pixels(tiles).unsqueeze(0), [picture]);
      }),
    );
  }

  grid(picture: RgbImage): VisualGrid {
    const { llava, preprocessing } = this.parts;
    const { config } = llava.config.vision;
    // LLaVA-NeXT brings the whole picture to a tile's square without its aspect, before anything else.
    if (llava instanceof LlavaNext) {
      const square = squareGrid(picture, { ...preprocessing, mode: "resize" }, config, 0);
      return { ...square, first: 0 };
    }
    return squareGrid(picture, preprocessing, config, llava.features.positions);
  }

  /** (pictures, 3, size, size), of the dtype and device of the weights. */
  #pixels(pictures: readonly RgbImage[]): Tensor {
    const { preprocessing, llava } = this.parts;
    const { size } = preprocessing;
    const values = new Float32Array(pictures.length * 3 * size * size);
    for (const [index, picture] of pictures.entries()) {
      values.set(preprocess(picture, preprocessing), index * 3 * size * size);
    }
    const { dtype, device } = llava.languageModel.model.embedTokens.weight;
    return tensor(values, { shape: [pictures.length, 3, size, size] }).to({ dtype, device: device ?? defaultDevice() });
  }

  [Symbol.dispose](): void {
    this.parts.llava.dispose();
  }
}
