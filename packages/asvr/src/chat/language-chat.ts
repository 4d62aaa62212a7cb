import type { Tensor } from "@asvr/torch";
import { DataError } from "../errors.js";
import type { ChatTemplate } from "../language/chat-template.js";
import type { SamplingOptions } from "../language/decoding/sampling.js";
import type { LlamaForCausalLM } from "../language/llama.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import type { ChatMessage, ChatModel, ChatPrompt } from "./chat-model.js";
import { picturesOf, renderable } from "./messages.js";
import { promptIds } from "./prompt-ids.js";
import type { VisualGrid } from "./visual-grid.js";

export interface LanguageChatParts {
  readonly name: string;
  readonly language: LlamaForCausalLM;
  readonly tokenizer: TextTokenizer;
  readonly template: ChatTemplate;
  readonly stopIds: readonly number[];
  /** Default: greedy. */
  readonly drawing?: SamplingOptions;
}

/** A language model alone, which reads no pictures. Owns the model. */
export class LanguageChat implements ChatModel {
  readonly name: string;
  readonly language: LlamaForCausalLM;
  readonly tokenizer: TextTokenizer;
  readonly stopIds: readonly number[];
  readonly drawing: SamplingOptions;
  readonly imageTokenId = -1;
  readonly #template: ChatTemplate;

  constructor({ name, language, tokenizer, template, stopIds, drawing = {} }: LanguageChatParts) {
    this.name = name;
    this.language = language;
    this.tokenizer = tokenizer;
    this.stopIds = stopIds;
    this.drawing = drawing;
    this.#template = template;
  }

  get contextLength(): number {
    return this.language.config.maxPositionEmbeddings ?? Number.POSITIVE_INFINITY;
  }

  prompt(messages: readonly ChatMessage[]): ChatPrompt {
    if (picturesOf(messages).length > 0) this.#refuse();
    const text = this.#template.render(renderable(messages), { addGenerationPrompt: true });
    const { vocabSize } = this.language.config;
    const options = { imageTokenId: this.imageTokenId, tokenCounts: [], vocabSize };
    return { inputIds: promptIds(this.tokenizer, text, options), pictures: [] };
  }

  see(): Tensor {
    return this.#refuse();
  }

  grid(): VisualGrid {
    return this.#refuse();
  }

  #refuse(): never {
    throw new DataError(`${this.name} is a language model: it reads no pictures`);
  }

  [Symbol.dispose](): void {
    this.language.dispose();
  }
}
