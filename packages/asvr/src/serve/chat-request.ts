import { randomInt } from "node:crypto";
import { z } from "zod";
import type { SamplingOptions } from "../language/decoding/sampling.js";
import { ApiError } from "./api-error.js";

const text = z.object({ type: z.literal("text"), text: z.string() });
// Some clients send the URL itself.
const url = z.string().transform((url) => ({ url }));
const imageUrl = z.object({ type: z.literal("image_url"), image_url: z.union([z.object({ url: z.string() }), url]) });
const spoken = z.union([z.string(), z.array(text)]);
const shown = z.union([z.string(), z.array(z.discriminatedUnion("type", [text, imageUrl])).min(1)]);
const message = z.discriminatedUnion("role", [
  z.object({ role: z.literal("system"), content: spoken }),
  z.object({ role: z.literal("developer"), content: spoken }),
  z.object({ role: z.literal("user"), content: shown }),
  z.object({ role: z.literal("assistant"), content: spoken }),
]);

const MAX_STOPS = 16;
const MAX_CHOICES = 8;
const positive = z.int().min(1);

/** Fields of every request for an answer. */
export const sampling = {
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: positive.nullish(),
  seed: z.int().nullish(),
};

/** A request for a chat completion: what of OpenAI's interface is meant here. Other fields are let through. */
const chatRequest = z.object({
  model: z.string(),
  messages: z.array(message).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: positive.nullish(),
  max_completion_tokens: positive.nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(MAX_STOPS)]).nullish(),
  n: positive.max(MAX_CHOICES).nullish(),
  ...sampling,
});

export type ChatRequest = z.infer<typeof chatRequest>;
/** `place`: where the request has it, where that is not among its messages. */
export type RequestMessage = ChatRequest["messages"][number] & { readonly place?: string };

/**
 * Fields that would change the answer and that this server doesn't know: which values mean "not used", or, where none
 * does, what to do instead.
 */
export type Unsupported = Readonly<Record<string, ((value: unknown) => boolean) | string>>;

const unsupported: Unsupported = {
  logprobs: (value) => value === false,
  top_logprobs: (value) => value === 0,
  tools: (value) => Array.isArray(value) && value.length === 0,
  tool_choice: (value) => value === "none" || value === "auto",
  functions: (value) => Array.isArray(value) && value.length === 0,
  logit_bias: (value) => typeof value === "object" && Object.keys(value as object).length === 0,
  frequency_penalty: (value) => value === 0,
  presence_penalty: (value) => value === 0,
  response_format: (value) => (value as { type?: unknown }).type === "text",
  audio: () => false,
};

/** @throws ApiError that names the field */
export function parseChatRequest(body: unknown): ChatRequest {
  return readRequest(chatRequest, unsupported, body);
}

/** @throws ApiError that names the field */
export function readRequest<Schema extends z.ZodType>(
  schema: Schema,
  unsupported: Unsupported,
  body: unknown,
): z.infer<Schema> {
  const parsed = schema.safeParse(body);
  if (!parsed.success) {
    const issue = deepest(parsed.error.issues);
    const param = issue.path.join(".") || null;
    throw new ApiError(400, param ? `${param}: ${issue.message}` : issue.message, { param });
  }
  for (const [param, use] of Object.entries(unsupported)) {
    const value = (body as Record<string, unknown>)[param];
    if (value === undefined || value === null || (typeof use === "function" && use(value))) continue;
    const instead = typeof use === "string" ? `: ${use}` : "";
    throw new ApiError(400, `${param} is not supported by this server${instead}`, {
      param,
      code: "unsupported_parameter",
    });
  }
  return parsed.data;
}

/** Of a union that nothing fits, what is wrong with the alternative that came furthest. */
function deepest(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  const [issue] = issues as [z.core.$ZodIssue];
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
  const inner = issue.errors.filter((list) => list.length > 0).map((list) => deepest(list));
  const reached = ({ path, code }: z.core.$ZodIssue) => path.length + (code === "invalid_type" ? 0 : 0.5);
  const best = inner.reduce((a, b) => (reached(b) > reached(a) ? b : a), inner[0]!);
  return { ...best, path: [...issue.path, ...best.path] };
}

export type Drawing = ReturnType<typeof drawingOf>[number];

/** How the answers are drawn: as asked, else as the model wants it; the seeds of several choices follow each other. */
export function drawingOf(request: ChatRequest, defaults: SamplingOptions) {
  const { temperature, top_p, top_k, stop, max_tokens, max_completion_tokens } = request;
  const maxNewTokens = max_completion_tokens ?? max_tokens;
  const seed = request.seed ?? randomInt(2 ** 31);
  const topK = top_k ?? defaults.topK;
  return Array.from({ length: request.n ?? 1 }, (_, index) => ({
    temperature: temperature ?? defaults.temperature ?? 0,
    topP: top_p ?? defaults.topP ?? 1,
    ...(topK && { topK }),
    stop: stop ? [stop].flat() : [],
    seed: seed + index,
    ...(maxNewTokens && { maxNewTokens }),
  }));
}
