import { noGrad, type Tensor, tensor, tidy } from "@asvr/torch";
import type { RgbImage } from "../data/images.js";
import { preprocess } from "../data/preprocess.js";
import { DataError } from "../errors.js";
import {
  encodeSpans,
  IMAGE_TAG,
  IMAGE_TOKEN_INDEX,
  type Message,
  renderConversation,
  templates,
} from "../language/conversation.js";
import type { LlamaForCausalLM } from "../language/llama.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import { visualInputOf } from "../parts/codes.js";
import { ownPreprocessing } from "../parts/own-pictures.js";
import type { TrainedRow } from "../parts/trained-row.js";
import type { ChatMessage, ChatModel, ChatPrompt } from "./chat-model.js";
import { picturesOf } from "./messages.js";
import { squareGrid, type VisualGrid } from "./visual-grid.js";

/** A model that was trained here, asked with the template of its tuning stage. Owns the model and its frozen parts. */
export class RunChat implements ChatModel {
  readonly imageTokenId = IMAGE_TOKEN_INDEX;
  /** Greedy, as runs are scored. */
  readonly drawing = {};

  constructor(
    readonly name: string,
    readonly row: TrainedRow,
  ) {}

  get language(): LlamaForCausalLM {
    return this.row.model.language;
  }

  get tokenizer(): TextTokenizer {
    return this.row.tokenizer;
  }

  get stopIds(): readonly number[] {
    return [this.tokenizer.eosId];
  }

  get contextLength(): number {
    return this.row.recipe.data.maxLength;
  }

  prompt(messages: readonly ChatMessage[]): ChatPrompt {
    const pictures = picturesOf(messages);
    if (pictures.length > 1) {
      throw new DataError(
        `${pictures.length} pictures in one conversation: this model was trained with one. Begin a new conversation for another picture.`,
      );
    }
    const template = templates[this.row.recipe.stages.tuning.template];
    const spans = renderConversation(template, messages.map(asMessage));
    const { inputIds } = encodeSpans(this.tokenizer, spans);
    const repeated = inputIds.flatMap((id) =>
      id === IMAGE_TOKEN_INDEX ? Array<number>(this.row.imageTokens).fill(id) : [id],
    );
    return { inputIds: repeated, pictures };
  }

  see(picture: RgbImage): Tensor {
    const { parts, recipe, model } = this.row;
    const preprocessing = ownPreprocessing(recipe);
    const shape = [1, 3, preprocessing.size, preprocessing.size];
    const pixels = preprocess(picture, preprocessing);
    return noGrad(() =>
      tidy(() => {
        const features = visualInputOf(parts, recipe, tensor(pixels, { shape, device: model.device }));
        return model.projector.forward(features.select(0, 0));
      }),
    );
  }

  grid(picture: RgbImage): VisualGrid {
    const { recipe, imageTokens } = this.row;
    return squareGrid(picture, ownPreprocessing(recipe), recipe.encoder, imageTokens);
  }

  [Symbol.dispose](): void {
    this.row[Symbol.dispose]();
  }
}

/** @throws DataError for a system message, which the template has no place for, and for a text that names a picture */
function asMessage({ role, content }: ChatMessage): Message {
  if (role === "system") {
    throw new DataError("a system message: this model was trained without one. Leave it out.");
  }
  const parts = typeof content === "string" ? [{ type: "text" as const, text: content }] : content;
  const text = parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
  if (text.includes(IMAGE_TAG)) {
    throw new DataError(`"${IMAGE_TAG}" stands for a picture and can't be said as text`);
  }
  const hasPicture = parts.some(({ type }) => type === "image");
  return { from: role === "user" ? "human" : "gpt", value: hasPicture ? `${IMAGE_TAG}\n${text}` : text };
}
