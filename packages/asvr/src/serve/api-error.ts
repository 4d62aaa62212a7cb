import { BusyError } from "../chat/chat-service.js";
import { ConfigError, DataError } from "../errors.js";

/** A place is soon free: answers take seconds, and there are many places. */
const RETRY_AFTER_SECONDS = 1;

/** An error as OpenAI's interface tells it, with its HTTP status. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly type: string;
  /** The field of the request that is wrong. */
  readonly param: string | null;
  readonly code: string | null;

  constructor(
    readonly status: number,
    message: string,
    { type = "invalid_request_error", param = null as string | null, code = null as string | null } = {},
  ) {
    super(message);
    this.type = type;
    this.param = param;
    this.code = code;
  }

  /** Headers of the answer. */
  get headers(): Record<string, string> {
    return this.status === 429 ? { "retry-after": String(RETRY_AFTER_SECONDS) } : {};
  }

  /** What the body of the answer says. */
  toJSON() {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }
}

/** Errors of the model or the machine that say what to do, by name: some come from another thread. */
const told: ReadonlySet<string> = new Set(["NonFiniteError", "ResourceError"]);

/** What an error of any kind is for who asked. The program's own errors are not told in detail. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof DataError) {
    const isTooLong = /tokens, and the model reads|a text grew over \d+ characters/.test(error.message);
    return new ApiError(400, error.message, { param: "messages", code: isTooLong ? "context_length_exceeded" : null });
  }
  if (error instanceof ConfigError) return new ApiError(400, error.message);
  if (error instanceof BusyError) {
    return new ApiError(429, `${error.message}; try again later`, { type: "rate_limit_error", code: "queue_full" });
  }
  if (error instanceof Error && told.has(error.name)) {
    return new ApiError(error.name === "ResourceError" ? 503 : 500, error.message, { type: "server_error" });
  }
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  if (statusCode === 413) {
    return new ApiError(413, `the request is too large: ${message}`, { code: "request_too_large" });
  }
  if (statusCode === 415) {
    return new ApiError(415, "the body must be JSON: send it with the header Content-Type: application/json");
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new ApiError(statusCode, message ?? "a bad request");
  }
  return new ApiError(500, "the server failed to answer; its log says why", { type: "server_error" });
}
