import { DataError } from "../errors.js";
import type { TextTokenizer } from "./tokenizer.js";

/** Stands in `inputIds` for the whole picture, however many visual tokens that becomes. */
export const IMAGE_TOKEN_INDEX = -200;
/** A label that no loss counts. */
export const IGNORE_INDEX = -100;
/** Marks the place of the picture in a record's text. */
export const IMAGE_TAG = "<image>";

export interface Message {
  from: "human" | "gpt";
  value: string;
}

/**
 * A stretch of a prompt: text that the model learns to say (supervised) or only reads, the picture, or a context: text
 * in the place of a picture, which like it begins and ends a text of its own.
 */
export type Span =
  | { kind: "text"; text: string; supervised: boolean }
  | { kind: "image" }
  | { kind: "context"; text: string };

/** How messages become a prompt. Another template is another value of this type. */
export interface ConversationTemplate {
  readonly name: string;
  /** Before the first question. */
  readonly system: string;
  /** The picture inside the question that has it, or before that question: the first one's then begins the prompt. */
  readonly image: "inline" | "first";
  /** How many pairs of question and answer a record may have. */
  readonly maxTurns: number;
  /** What the model reads, up to where its answer begins. */
  question(text: string): string;
  /** What the model learns to say. */
  answer(text: string): string;
}

/** Pretraining: the picture, then its caption. The question is dropped. */
export const plain: ConversationTemplate = {
  name: "plain",
  system: "",
  image: "first",
  maxTurns: 1,
  question: () => "",
  answer: (text) => `${text}\n`,
};

/** Vicuna 1.1 and later, as LLaVA 1.5 is tuned. */
export const v1: ConversationTemplate = {
  name: "v1",
  system:
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. ",
  image: "inline",
  maxTurns: Number.POSITIVE_INFINITY,
  question: (text) => `USER: ${text} ASSISTANT:`,
  answer: (text) => ` ${text}</s>`,
};

/** `v1` for small models: no system prompt, the picture before its question. */
export const micro: ConversationTemplate = { ...v1, name: "micro", system: "", image: "first" };

/** SmolLM2's instruct models: ChatML, with the system message that their own template puts in front. */
export const smollm2: ConversationTemplate = {
  name: "smollm2",
  system: "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>",
  image: "inline",
  maxTurns: Number.POSITIVE_INFINITY,
  question: (text) => `\n<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`,
  answer: (text) => `${text}<|im_end|>`,
};

export const templates = { plain, v1, micro, smollm2 } as const satisfies { [name: string]: ConversationTemplate };

/**
 * The spans of a conversation, after its context if there is one. Messages that end with a question give the prompt for its answer. As in LLaVA, a first
 * message from the model is dropped, and an empty answer leaves its question open.
 * @throws DataError when the turns do not alternate, or there are more than the template takes
 */
export function renderConversation(
  template: ConversationTemplate,
  messages: readonly Message[],
  context?: string,
): Span[] {
  const turns = messages[0]?.from === "gpt" ? messages.slice(1) : messages;
  requireAlternation(template, turns);
  const spans: Span[] = context === undefined ? [] : [{ kind: "context", text: context }];
  addText(spans, template.system, false);
  for (const { from, value } of turns) {
    if (template.image === "first" && value.includes(IMAGE_TAG)) spans.push({ kind: "image" });
    const text = placeImageTag(value, template.image);
    if (from === "human") addTextAndImages(spans, template.question(text));
    else if (text !== "") addText(spans, template.answer(text), true);
  }
  return spans;
}

/**
 * Token ids and labels, span by span: labels are known from the spans, whatever the text contains. The ids are LLaVA's:
 * the text on each side of a picture is tokenised as a text of its own, with its dummy space.
 * @returns `labels` is `inputIds` where supervised, IGNORE_INDEX elsewhere
 */
export function encodeSpans(
  tokenizer: TextTokenizer,
  spans: readonly Span[],
): { inputIds: number[]; labels: number[] } {
  const inputIds = [...tokenizer.startIds];
  const labels = inputIds.map(() => IGNORE_INDEX);
  let chunk: Extract<Span, { kind: "text" }>[] = [];
  const endChunk = () => {
    const pieces = tokenizer.encodePieces(chunk.map(({ text }) => text));
    for (const [piece, { supervised }] of chunk.entries()) {
      for (const id of pieces[piece]!) {
        inputIds.push(id);
        labels.push(supervised ? id : IGNORE_INDEX);
      }
    }
    chunk = [];
  };
  for (const span of spans) {
    if (span.kind === "text") {
      chunk.push(span);
      continue;
    }
    endChunk();
    const ids = span.kind === "image" ? [IMAGE_TOKEN_INDEX] : tokenizer.encodePieces([span.text]).flat();
    inputIds.push(...ids);
    labels.push(...ids.map(() => IGNORE_INDEX));
  }
  endChunk();
  return { inputIds, labels };
}

function requireAlternation(template: ConversationTemplate, turns: readonly Message[]): void {
  for (const [index, { from }] of turns.entries()) {
    const expected = index % 2 === 0 ? "human" : "gpt";
    if (from === expected) continue;
    throw new DataError(`conversation: message ${index} is from ${from}, not ${expected}: turns must alternate.`);
  }
  const pairs = Math.ceil(turns.length / 2);
  if (pairs > template.maxTurns) {
    throw new DataError(
      `conversation: ${pairs} questions, but the template ${template.name} takes ${template.maxTurns}. Use another template for this data.`,
    );
  }
}

/** LLaVA's rule: whatever place and number of the tag, a message has it once, on a line of its own before the text. */
function placeImageTag(value: string, place: ConversationTemplate["image"]): string {
  if (!value.includes(IMAGE_TAG)) return value;
  const rest = value.replaceAll(IMAGE_TAG, "").trim();
  return place === "first" ? rest : `${IMAGE_TAG}\n${rest}`.trim();
}

function addTextAndImages(spans: Span[], text: string): void {
  for (const [part, piece] of text.split(IMAGE_TAG).entries()) {
    if (part > 0) spans.push({ kind: "image" });
    addText(spans, piece, false);
  }
}

/** Joins neighbours of one kind, so that a border between spans is one that labels need. */
function addText(spans: Span[], text: string, supervised: boolean): void {
  const last = spans.at(-1);
  if (text === "") return;
  if (last?.kind === "text" && last.supervised === supervised) last.text += text;
  else spans.push({ kind: "text", text, supervised });
}
