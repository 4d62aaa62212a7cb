import { randomUUID } from "node:crypto";
import type { Given, Wording } from "./answering.js";
import type { ApiError } from "./api-error.js";
import type { Drawing } from "./chat-request.js";
import type { ResponseRequest } from "./response-request.js";

/** The answer to one request to `/v1/responses`, in OpenAI's words. It is told, and not kept. */
export class ResponseObject implements Wording {
  readonly #id = `resp_${hex()}`;
  readonly #itemId = `msg_${hex()}`;
  readonly #created = Math.floor(Date.now() / 1000);
  readonly #asked: Omit<ResponseRequest, "input">;
  readonly #drawing: Drawing;
  #events = 0;

  /** What was put in, pictures perhaps, is not kept while it is answered. */
  constructor({ input: _, ...asked }: ResponseRequest, drawing: Drawing) {
    this.#asked = asked;
    this.#drawing = drawing;
  }

  whole([answer]: readonly Given[]) {
    const status = statusOf(answer!);
    return {
      ...this.#head(status),
      completed_at: Math.floor(Date.now() / 1000),
      incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
      output: [this.#item(status, [contentOf(answer!.text)])],
      usage: usageOf(answer!),
    };
  }

  begin() {
    const response = this.#head("in_progress");
    return this.#told(
      { type: "response.created", response },
      { type: "response.in_progress", response },
      { type: "response.output_item.added", output_index: 0, item: this.#item("in_progress", []) },
      { type: "response.content_part.added", ...this.#place(), part: contentOf("") },
    );
  }

  piece(_index: number, delta: string) {
    return this.#told({ type: "response.output_text.delta", ...this.#place(), delta, logprobs: [] });
  }

  end(_index: number, answer: Given) {
    const status = statusOf(answer);
    const { text } = answer;
    return this.#told(
      { type: "response.output_text.done", ...this.#place(), text, logprobs: [] },
      { type: "response.content_part.done", ...this.#place(), part: contentOf(text) },
      { type: "response.output_item.done", output_index: 0, item: this.#item(status, [contentOf(text)]) },
      { type: `response.${status}`, response: this.whole([answer]) },
    );
  }

  close() {
    return [];
  }

  failure({ code, message }: ApiError) {
    const error = { code: code ?? "server_error", message };
    return this.#told({ type: "response.failed", response: { ...this.#head("failed"), error } });
  }

  #told(...events: readonly object[]) {
    return events.map((event) => ({ ...event, sequence_number: this.#events++ }));
  }

  #place() {
    return { item_id: this.#itemId, output_index: 0, content_index: 0 };
  }

  #item(status: string, content: readonly object[]) {
    return { type: "message", id: this.#itemId, status, role: "assistant", content };
  }

  #head(status: string) {
    const { model, instructions, max_output_tokens, metadata } = this.#asked;
    return {
      id: this.#id,
      object: "response",
      created_at: this.#created,
      status,
      error: null,
      incomplete_details: null,
      instructions: instructions ?? null,
      max_output_tokens: max_output_tokens ?? null,
      metadata: metadata ?? {},
      model,
      output: [] as object[],
      parallel_tool_calls: false,
      previous_response_id: null,
      store: false,
      temperature: this.#drawing.temperature ?? 0,
      text: { format: { type: "text" } },
      tool_choice: "none",
      tools: [],
      top_p: this.#drawing.topP ?? 1,
      truncation: "disabled",
      usage: null as object | null,
    };
  }
}

function hex(): string {
  return randomUUID().replaceAll("-", "");
}

function contentOf(text: string) {
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

function statusOf({ end }: Given): "completed" | "incomplete" {
  return end.reason === "length" ? "incomplete" : "completed";
}

function usageOf({ end }: Given) {
  return {
    input_tokens: end.promptTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: end.answerTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: end.promptTokens + end.answerTokens,
  };
}
