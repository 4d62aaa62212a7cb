import { z } from "zod";
import { type ChatRequest, type RequestMessage, readRequest, sampling, type Unsupported } from "./chat-request.js";

const inputText = z.object({ type: z.literal("input_text"), text: z.string() });
const outputText = z.object({ type: z.literal("output_text"), text: z.string() });
const inputImage = z.object({ type: z.literal("input_image"), image_url: z.string() });
const message = { type: z.literal("message").nullish() };
const spoken = z.union([z.string(), z.array(inputText)]);
const shown = z.union([z.string(), z.array(z.discriminatedUnion("type", [inputText, inputImage])).min(1)]);
const item = z.discriminatedUnion("role", [
  z.object({ ...message, role: z.literal("system"), content: spoken }),
  z.object({ ...message, role: z.literal("developer"), content: spoken }),
  z.object({ ...message, role: z.literal("user"), content: shown }),
  z.object({ ...message, role: z.literal("assistant"), content: z.union([z.string(), z.array(outputText)]) }),
]);

/** A request to `/v1/responses`: what of OpenAI's interface is meant here. Other fields are let through. */
const responseRequest = z.object({
  model: z.string(),
  input: z.union([z.string(), z.array(item).min(1)]),
  instructions: z.string().nullish(),
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  ...sampling,
});

export type ResponseRequest = z.infer<typeof responseRequest>;

const areUnset = (value: unknown) => Object.values(value as object).every((inner) => inner === null);

const unsupported: Unsupported = {
  previous_response_id: "answers are not kept: send the whole conversation as input",
  conversation: "conversations are not kept: send the whole conversation as input",
  prompt: "prompts are not kept: send the text as input",
  background: (value) => value === false,
  tools: (value) => Array.isArray(value) && value.length === 0,
  tool_choice: (value) => value === "none" || value === "auto",
  top_logprobs: (value) => value === 0,
  truncation: (value) => value === "disabled",
  reasoning: areUnset,
  text: (value) => {
    const { format, ...others } = value as { format?: { type?: unknown } | null };
    return (format?.type ?? "text") === "text" && areUnset(others);
  },
};

/** @throws ApiError that names the field */
export function parseResponseRequest(body: unknown): ResponseRequest {
  return readRequest(responseRequest, unsupported, body);
}

/** What a chat completion would be asked for the same answer. */
export function asChatRequest({ input, instructions, max_output_tokens, ...asked }: ResponseRequest): ChatRequest {
  const items = typeof input === "string" ? [{ role: "user" as const, content: input }] : input;
  const messages = items.map(({ role, content }, index): RequestMessage => {
    const parts = typeof content === "string" ? content : content.map(asPart);
    return { role, content: parts, place: `input.${index}` } as RequestMessage;
  });
  if (instructions) messages.unshift({ role: "system", content: instructions });
  return { ...asked, messages, max_tokens: max_output_tokens };
}

function asPart(part: z.infer<typeof inputText> | z.infer<typeof outputText> | z.infer<typeof inputImage>) {
  if (part.type === "input_image") return { type: "image_url", image_url: { url: part.image_url } };
  return { type: "text", text: part.text };
}
