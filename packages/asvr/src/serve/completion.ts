import { randomUUID } from "node:crypto";
import type { End, Given, Wording } from "./answering.js";
import type { ApiError } from "./api-error.js";

/** Answers to one request for a chat completion, in OpenAI's words. */
export class Completion implements Wording {
  readonly #id = `chatcmpl-${randomUUID()}`;
  readonly #created = Math.floor(Date.now() / 1000);
  readonly #model: string;
  readonly #hasUsage: boolean;

  /** @param hasUsage whether a stream ends with what was used */
  constructor(model: string, hasUsage: boolean) {
    this.#model = model;
    this.#hasUsage = hasUsage;
  }

  whole(answers: readonly Given[]) {
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

  begin(index: number) {
    return this.#chunk(index, { role: "assistant", content: "" });
  }

  piece(index: number, content: string) {
    return this.#chunk(index, { content });
  }

  end(index: number, { end }: Given) {
    return this.#chunk(index, {}, finishReason(end));
  }

  close(ends: readonly End[]) {
    const usage = { ...this.#head("chat.completion.chunk"), choices: [], usage: usageOf(ends) };
    return [...(this.#hasUsage ? [usage] : []), "[DONE]"];
  }

  failure(error: ApiError) {
    return [error.toJSON()];
  }

  /** A piece of a streamed answer. With usage asked for, every piece but the last says that it has none. */
  #chunk(index: number, delta: { role?: "assistant"; content?: string }, finish: "stop" | "length" | null = null) {
    const choice = { index, delta, logprobs: null, finish_reason: finish };
    return [{ ...this.#head("chat.completion.chunk"), choices: [choice], ...(this.#hasUsage && { usage: null }) }];
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
