import { randomUUID } from "node:crypto";
import type { AnswerEvent } from "../chat/chat-service.js";

type End = Extract<AnswerEvent, { type: "end" }>;

/** Answers to one request in OpenAI's words. */
export class Completion {
  readonly #id = `chatcmpl-${randomUUID()}`;
  readonly #created = Math.floor(Date.now() / 1000);
  readonly #model: string;

  constructor(model: string) {
    this.#model = model;
  }

  /** The answers as one object. */
  whole(answers: readonly { text: string; end: End }[]) {
    return {
      ...this.#head("chat.completion"),
      choices: answers.map(({ text, end }, index) => ({
        index,
        message: { role: "assistant", content: text, refusal: null },
        logprobs: null,
        finish_reason: finishReason(end),
      })),
      usage: usageOf(answers.map(({ end }) => end)),
    };
  }

  /** A piece of a streamed answer. With usage asked for, every piece but the last says that it has none. */
  piece(index: number, delta: { role?: "assistant"; content?: string }, end: End | null, hasUsage: boolean) {
    const choice = { index, delta, logprobs: null, finish_reason: end && finishReason(end) };
    return { ...this.#head("chat.completion.chunk"), choices: [choice], ...(hasUsage && { usage: null }) };
  }

  /** The last piece, where usage was asked for. */
  usagePiece(ends: readonly End[]) {
    return { ...this.#head("chat.completion.chunk"), choices: [], usage: usageOf(ends) };
  }

  #head(object: string) {
    return { id: this.#id, object, created: this.#created, model: this.#model, system_fingerprint: null };
  }
}

function finishReason({ reason }: End): "stop" | "length" {
  return reason === "length" ? "length" : "stop";
}

/** The prompt counts once, however many answers it has. */
function usageOf(ends: readonly End[]) {
  const prompt_tokens = ends[0]!.promptTokens;
  const completion_tokens = ends.reduce((sum, { answerTokens }) => sum + answerTokens, 0);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}
