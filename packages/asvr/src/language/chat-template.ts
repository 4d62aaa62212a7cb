import { ConfigError, DataError } from "../errors.js";
import { type JinjaNode, parseJinja, renderJinja, TemplateRefusal } from "./bounded-jinja.js";
import { type BuiltInTemplate, builtInTemplates } from "./built-in-templates.js";
import { type ChatFolderOptions, readChatTemplate } from "./chat-template-files.js";
import { takesParts, testsForStrings } from "./content-format.js";
import { IMAGE_TAG } from "./conversation.js";

/** A part of what is said: text, or the place of a picture. */
export type ContentPart = { readonly type: "text"; readonly text: string } | { readonly type: "image" };

export interface TemplateMessage {
  /** `system`, `user`, `assistant`, or whatever else the template knows. */
  readonly role: string;
  readonly content: string | readonly ContentPart[];
}

/** The special tokens that a template may write, such as `bos_token`. */
export type TemplateTokens = Readonly<Record<string, string>>;

export interface RenderOptions {
  /** End where the model's answer begins. */
  addGenerationPrompt?: boolean;
  /** End inside the last message, which the model then goes on with. */
  continueFinalMessage?: boolean;
  /** More variables for the template, such as `tools` or `enable_thinking`. */
  variables?: Readonly<Record<string, unknown>>;
  /** What a template that writes the date takes for now. */
  now?: Date;
}

/**
 * The Jinja template of a chat model: messages to the prompt that the model was trained with. Such a prompt holds bos
 * and eos where the template writes them: tokenise it without adding them again.
 *
 * A template is a stranger's program. It can reach nothing but its variables; what it may take is in `jinjaLimits`.
 */
export class ChatTemplate {
  readonly #program: JinjaNode;
  readonly #takesParts: boolean;
  readonly #takesStrings: boolean;

  /** @throws ConfigError when `source` is no Jinja template */
  constructor(
    readonly source: string,
    readonly tokens: TemplateTokens = {},
  ) {
    try {
      this.#program = parseJinja(source);
    } catch (cause) {
      throw new ConfigError(`chat template: it is no Jinja that can be read: ${messageOf(cause)}.`, { cause });
    }
    this.#takesParts = takesParts(this.#program);
    this.#takesStrings = !this.#takesParts || testsForStrings(this.#program);
  }

  /** One of the templates for checkpoints that have none. */
  static builtIn(
    name: BuiltInTemplate,
    tokens: TemplateTokens = { bos_token: "<s>", eos_token: "</s>" },
  ): ChatTemplate {
    return new ChatTemplate(builtInTemplates[name], tokens);
  }

  /**
   * The template of a checkpoint's folder: `chat_template.jinja`, `chat_template.json`, or the one in
   * `processor_config.json` or `tokenizer_config.json`, whichever comes first, with the special tokens named there.
   * @throws ConfigError when there is none and no `fallback`, or none of the name asked for
   */
  static fromFolder(folder: string, options: ChatFolderOptions = {}): ChatTemplate {
    const { source, tokens, file } = readChatTemplate(folder, options);
    try {
      return new ChatTemplate(source, tokens);
    } catch (cause) {
      throw new ConfigError(`${messageOf(cause)} It stands in ${file}.`, { cause });
    }
  }

  /**
   * The prompt of a conversation. Parts reach a template that loops over them; for one that takes only text, pictures
   * become `<image>` lines before the message's text. A text reaches a template that only knows parts as one part.
   * @throws DataError when the template refuses the conversation, with what it says
   * @throws ConfigError when the template fails, or takes more than `jinjaLimits`
   */
  render(messages: readonly TemplateMessage[], options: RenderOptions = {}): string {
    const { addGenerationPrompt = false, continueFinalMessage = false, variables = {}, now = new Date() } = options;
    if (addGenerationPrompt && continueFinalMessage) {
      throw new ConfigError(
        "chat template: addGenerationPrompt begins an answer, continueFinalMessage goes on with one: choose one.",
      );
    }
    const asked = messages.map((message) => ({ ...message, content: this.#contentOf(message) }));
    if (continueFinalMessage) markEnd(asked);
    const prompt = this.#run(
      {
        ...{ tools: null, documents: null },
        ...this.tokens,
        ...variables,
        ...{ messages: asked, add_generation_prompt: addGenerationPrompt },
      },
      now,
    );
    return continueFinalMessage ? cutAtEnd(prompt) : prompt;
  }

  #run(variables: Readonly<Record<string, unknown>>, now: Date): string {
    try {
      return renderJinja(this.#program, variables, now);
    } catch (cause) {
      if (cause instanceof TemplateRefusal) {
        throw new DataError(`chat template: it refuses these messages: ${cause.message}`, [], { cause });
      }
      throw new ConfigError(`chat template: it cannot be rendered: ${messageOf(cause)}.`, { cause });
    }
  }

  #contentOf({ content }: TemplateMessage): TemplateMessage["content"] {
    if (typeof content !== "string") return this.#takesParts ? content : flatten(content);
    return this.#takesStrings ? content : [{ type: "text", text: content }];
  }
}

/** LLaVA's place for pictures, whatever place they have among the parts: each on a line of its own, then the text. */
function flatten(parts: readonly ContentPart[]): string {
  const pictures = parts.filter(({ type }) => type === "image").map(() => `${IMAGE_TAG}\n`);
  const texts = parts.flatMap((part) => (part.type === "text" ? [part.text] : []));
  return pictures.join("") + texts.join("\n");
}

/** Stands at the end of the message to go on with. A template that strips what is said strips the space. */
const END_MARK = "\u{F0000}END OF WHAT IS SAID\u{F0000}";

function markEnd(messages: { content: TemplateMessage["content"] }[]): void {
  const last = messages.at(-1);
  const content = last?.content;
  if (last && typeof content === "string") {
    last.content = `${content}${END_MARK} `;
    return;
  }
  const at = Array.isArray(content) ? (content as ContentPart[]).findLastIndex(({ type }) => type === "text") : -1;
  if (!last || at < 0) {
    throw new DataError("chat template: continueFinalMessage is set, but the last message has no text to go on with.");
  }
  last.content = (content as readonly ContentPart[]).map((part, index) =>
    index === at && part.type === "text" ? { ...part, text: `${part.text}${END_MARK} ` } : part,
  );
}

function cutAtEnd(prompt: string): string {
  const end = prompt.lastIndexOf(END_MARK);
  if (end < 0) {
    throw new DataError(
      "chat template: continueFinalMessage is set, but the template leaves out what the last message says.",
    );
  }
  const isWhole = prompt.startsWith(" ", end + END_MARK.length);
  return isWhole ? prompt.slice(0, end) : prompt.slice(0, end).trimEnd();
}

function messageOf(error: unknown): string {
  return (error as Error).message.replace(/\.$/, "");
}
