import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { DataError } from "../../errors.js";
import type { Answer, Answerer, AnswerRequest } from "./answerer.js";

export interface EndpointOptions {
  /** As `http://localhost:8000/v1`; `/chat/completions` is added. */
  url: string;
  model: string;
  /** Sent as a bearer token. */
  apiKey?: string;
  /** Requests at once. */
  concurrency?: number;
  /** Of one request; then it counts as failed. */
  timeoutSeconds?: number;
  /** After the first failure, for what may pass: overload, a broken connection, no answer in time. */
  retries?: number;
  /** Before the first retry; doubled each time. */
  backoffSeconds?: number;
}

const reply = z.object({
  choices: z.array(z.object({ message: z.object({ content: z.string().nullable() }) })).min(1),
});

/** What servers call a question that they do not take; another 400 is a mistake that every question would meet. */
const refusalCodes = new Set([
  ...["context_length_exceeded", "string_above_max_length", "image_too_large", "invalid_image"],
  ...["content_filter", "content_policy_violation"],
]);
/** Those that give no code say it in words. */
const refusalWords = /context (?:length|window|size)|maximum (?:model|context|input) length|prompt is too long/i;

const failure = z.object({
  error: z.object({ code: z.unknown(), message: z.string().default("") }),
});

/** A model behind an OpenAI-compatible endpoint, asked greedily. A prompt or picture that it does not take is refused. */
export function endpointAnswerer(options: EndpointOptions): Answerer {
  const { url, model, concurrency = 8 } = options;
  return {
    name: `${model} at ${url}`,
    async *answer(requests, signal) {
      const stop = new AbortController();
      const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
      const running = new Map<string, Promise<Answer>>();
      let next = 0;
      try {
        while (next < requests.length || running.size > 0) {
          while (running.size < concurrency && next < requests.length) {
            const request = requests[next++]!;
            const answer = ask(request, options, both);
            answer.catch(() => {}); // whoever waits for it gets the error
            running.set(request.id, answer);
          }
          const answer = await Promise.race(running.values());
          running.delete(answer.id);
          yield answer;
        }
      } finally {
        stop.abort(); // the caller has stopped listening: no request goes on
      }
    },
  };
}

async function ask(request: AnswerRequest, options: EndpointOptions, signal: AbortSignal): Promise<Answer> {
  const { id } = request;
  const { url, model, apiKey, timeoutSeconds = 120, retries = 5, backoffSeconds = 1 } = options;
  const body = JSON.stringify({
    model,
    temperature: 0,
    max_tokens: request.maxNewTokens,
    messages: [{ role: "user", content: await contentOf(request) }],
  });
  const target = `${url.replace(/\/+$/, "")}/chat/completions`;
  for (let attempt = 0; ; attempt++) {
    const outcome = await (async (): Promise<Answer | { why: string; passes: boolean; wait?: number }> => {
      try {
        const response = await fetch(target, {
          method: "POST",
          headers: { "content-type": "application/json", ...(apiKey && { authorization: `Bearer ${apiKey}` }) },
          body,
          signal: AbortSignal.any([signal, AbortSignal.timeout(1000 * timeoutSeconds)]),
        });
        const text = await response.text();
        if (response.ok) return { id, text: parseReply(text) };
        const refused = refusalOf(response.status, text);
        if (refused !== undefined) return { id, text: "", refused };
        const wait = Number(response.headers.get("retry-after") ?? "");
        return {
          why: `status ${response.status}: ${text.slice(0, 300)}`,
          passes: response.status === 408 || response.status === 429 || response.status >= 500,
          ...(Number.isFinite(wait) && wait > 0 && { wait }),
        };
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof DataError) throw error;
        const { name, message, cause } = error as Error;
        const why = name === "TimeoutError" ? `no answer in ${timeoutSeconds} s` : `${message} ${cause ?? ""}`.trim();
        return { why, passes: true };
      }
    })();
    if ("text" in outcome) return outcome;
    if (!outcome.passes || attempt >= retries) {
      const times = attempt > 0 ? ` after ${attempt + 1} attempts` : "";
      throw new DataError(`${target}, question ${id}: ${outcome.why}${times}`);
    }
    const jitter = 0.5 + Math.random(); // so that many requests do not come back at the same moment
    await sleep(1000 * Math.max(outcome.wait ?? 0, backoffSeconds * 2 ** attempt * jitter), undefined, { signal });
  }
}

/** Why a server does not take this question; undefined where it says something else. */
function refusalOf(status: number, text: string): string | undefined {
  if (status !== 400 && status !== 413 && status !== 422) return undefined;
  const told = failure.safeParse(parsedJson(text)).data?.error;
  const isRefusal = refusalCodes.has(String(told?.code)) || refusalWords.test(told?.message ?? text) || status === 413;
  return isRefusal ? (told?.message ?? text.slice(0, 300)) : undefined;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Pictures first, as the marks stand in the prompt, then its text. */
async function contentOf({ prompt, pictures }: AnswerRequest): Promise<unknown[]> {
  const shown = await Promise.all(
    pictures.map(async (picture) => {
      const bytes = Buffer.from(await picture.bytes());
      return { type: "image_url", image_url: { url: `data:${mimeType(bytes)};base64,${bytes.toString("base64")}` } };
    }),
  );
  return [...shown, { type: "text", text: prompt.replaceAll("<image>\n", "") }];
}

function mimeType(bytes: Buffer): string {
  const start = bytes.toString("latin1", 0, 12);
  if (start.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (start.startsWith("\x89PNG")) return "image/png";
  if (start.startsWith("GIF8")) return "image/gif";
  return start.startsWith("RIFF") && start.endsWith("WEBP") ? "image/webp" : "application/octet-stream";
}

function parseReply(text: string): string {
  const value = parsedJson(text);
  if (value === undefined) throw new DataError(`the endpoint's reply is no JSON: ${text.slice(0, 200)}`);
  const parsed = reply.safeParse(value);
  if (!parsed.success)
    throw new DataError(`the endpoint's reply has no choices[0].message.content: ${text.slice(0, 200)}`);
  return parsed.data.choices[0]!.message.content ?? "";
}
