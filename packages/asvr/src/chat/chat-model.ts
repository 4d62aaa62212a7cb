import { F, type Tensor, tensor, tidy } from "@asvr/torch";
import type { RgbImage } from "../data/images.js";
import type { SamplingOptions } from "../language/decoding/sampling.js";
import type { LlamaForCausalLM } from "../language/llama.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import { embedWithFeatures } from "../model/llava-parts.js";
import type { VisualGrid } from "./visual-grid.js";

/** A stretch of what is said: words, or a picture in their midst. */
export type ChatPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image"; readonly image: RgbImage };

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string | readonly ChatPart[];
}

/** A conversation as the language model reads it, up to where its answer begins. */
export interface ChatPrompt {
  /** With the image token once for each feature of every picture. */
  readonly inputIds: readonly number[];
  /** In the order of their tokens. */
  readonly pictures: readonly RgbImage[];
}

/** A model that can be asked about pictures, however it was stored. Its owner frees it. */
export interface ChatModel extends Disposable {
  readonly name: string;
  readonly language: LlamaForCausalLM;
  readonly tokenizer: TextTokenizer;
  /** Stands in `inputIds` for a feature of a picture; -1 where the model reads text alone. */
  readonly imageTokenId: number;
  /** Tokens that end an answer. */
  readonly stopIds: readonly number[];
  /** How answers are drawn where nobody says otherwise. */
  readonly drawing: SamplingOptions;
  /** Tokens that a prompt and its answer may have together. */
  readonly contextLength: number;
  /**
   * The prompt of a conversation, without a forward pass: it can be counted before it is run.
   * @throws DataError for turns that the model's template refuses, and for pictures where the model reads none
   */
  prompt(messages: readonly ChatMessage[]): ChatPrompt;
  /** What the language model reads in a picture's place, (tokens, hiddenSize). */
  see(picture: RgbImage): Tensor;
  /** Where the patches of the whole picture are among these tokens: of a model that sees tiles too, those come later. */
  grid(picture: RgbImage): VisualGrid;
}

/**
 * What the language model reads of a prompt, (1, tokens, hiddenSize).
 * @param features of each picture of the prompt, from `see`
 * @throws ShapeError when they are more or fewer than the prompt's image tokens
 */
export function embedPrompt(
  { language, imageTokenId }: ChatModel,
  { inputIds }: ChatPrompt,
  features: readonly Tensor[],
): Tensor {
  return tidy(() => {
    const { device } = language.model.embedTokens.weight;
    const ids = tensor(Int32Array.from(inputIds), { device }).to("int64").unsqueeze(0);
    return embedWithFeatures(language, ids, imageTokenId, features.length > 0 ? F.cat([...features], 0) : null);
  });
}
