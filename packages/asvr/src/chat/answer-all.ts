import { setMaxListeners } from "node:events";
import { ConfigError, DataError } from "../errors.js";
import type { EndReason } from "../language/decoding/decoder.js";
import { ChatEngine, type ChatEngineOptions } from "./chat-engine.js";
import type { ChatMessage, ChatModel, ChatPart } from "./chat-model.js";
import type { AskOptions } from "./chat-service.js";

/** A question among many. */
export interface ChatRequest extends Omit<AskOptions, "signal"> {
  readonly id: string;
  /** What the user says, its pictures before the text; or a whole conversation. */
  readonly messages: readonly ChatMessage[];
}

export interface GivenAnswer {
  readonly id: string;
  readonly text: string;
  /** "refused": the model does not take the question, and `refused` says why. */
  readonly reason: EndReason | "refused";
  readonly refused?: string;
}

export interface AnswerAllOptions extends ChatEngineOptions {
  readonly signal?: AbortSignal;
  /** Requests that are taken from the source before their turn: among them those about one picture meet. Default 128. */
  readonly ahead?: number;
  /** What a question that the model refuses is: an error that ends everything, the default, or an answer as others. */
  readonly refusals?: "throw" | "answer";
}

/** A user's message of pictures and a text. */
export function question(
  text: string,
  pictures: readonly Extract<ChatPart, { type: "image" }>["image"][],
): ChatMessage {
  const images = pictures.map((image) => ({ type: "image" as const, image }));
  return { role: "user", content: [...images, { type: "text", text }] };
}

/**
 * Answers many questions, as each is done: in batches of unequal lengths, a picture looked at once however many
 * questions it has, and what they have in common at their beginning read once. Questions about one picture should
 * follow each other.
 * @throws DataError that names the question that the model refuses, unless refusals are answers
 */
export async function* answerAll(
  model: ChatModel,
  requests: Iterable<ChatRequest> | AsyncIterable<ChatRequest>,
  { signal, ahead = 128, refusals = "throw", ...options }: AnswerAllOptions = {},
): AsyncGenerator<GivenAnswer> {
  if (signal) setMaxListeners(0, signal); // one a question that is under way
  using engine = new ChatEngine(model, { ...options, maxWaiting: Number.POSITIVE_INFINITY });
  const open = new Map<string, Promise<GivenAnswer>>();
  for await (const { id, messages, ...own } of requests) {
    if (open.has(id)) throw new ConfigError(`two questions are called ${JSON.stringify(id)}`);
    open.set(id, collect(engine, { id, messages, ...own }, refusals, signal));
    if (open.size >= ahead) yield* next(open);
  }
  while (open.size > 0) yield* next(open);
}

async function* next(open: Map<string, Promise<GivenAnswer>>): AsyncGenerator<GivenAnswer> {
  const answer = await Promise.race(open.values());
  open.delete(answer.id);
  yield answer;
}

async function collect(
  engine: ChatEngine,
  { id, messages, ...options }: ChatRequest,
  refusals: "throw" | "answer",
  signal: AbortSignal | undefined,
): Promise<GivenAnswer> {
  let text = "";
  try {
    for await (const event of engine.ask(messages, { ...options, ...(signal && { signal }) })) {
      if (event.type === "text") text += event.text;
      else if (event.type === "end") return { id, text, reason: event.reason };
    }
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    if (refusals === "answer") return { id, text: "", reason: "refused", refused: error.message };
    throw new DataError(`question ${JSON.stringify(id)}: ${error.message}`, error.faults);
  }
  throw new Error(`question ${JSON.stringify(id)}: the answer did not end`);
}
