import type { BeamOptions } from "../language/decoding/beam-search.js";
import type { EndReason } from "../language/decoding/decoder.js";
import type { SamplingOptions } from "../language/decoding/sampling.js";
import type { ChatMessage } from "./chat-model.js";

export interface AskOptions extends SamplingOptions {
  /** Default: 1024; in any case no more than the model's context has room for. */
  readonly maxNewTokens?: number;
  /** Texts that end an answer, and are no part of it. */
  readonly stop?: readonly string[];
  readonly beams?: BeamOptions;
  /** Ends the answer as it is, as "cancelled". */
  readonly signal?: AbortSignal;
}

/** What a reader of an answer gets: that it was accepted, its text by and by, then how it ended. */
export type AnswerEvent =
  | { readonly type: "begin"; readonly promptTokens: number }
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "end";
      readonly reason: EndReason;
      readonly promptTokens: number;
      readonly answerTokens: number;
    };

/** Something that answers conversations: a model in this thread, or one in another. */
export interface ChatService {
  readonly name: string;
  /** How the model wants its answers drawn; a request that gives no options is greedy nevertheless. */
  readonly drawing: SamplingOptions;
  /** Tokens that a conversation and its answer may have together. */
  readonly contextLength: number;
  /** Requests that are not at their end. */
  readonly pending: number;
  /** A request that is refused is so here, or, where the model is elsewhere, when its first event is read. */
  ask(messages: readonly ChatMessage[], options?: AskOptions): AsyncIterable<AnswerEvent>;
  /** When all that was asked is answered. */
  idle(): Promise<void>;
}

/** Too many requests are waiting: this one may come again later. */
export class BusyError extends Error {
  override readonly name = "BusyError";
}
