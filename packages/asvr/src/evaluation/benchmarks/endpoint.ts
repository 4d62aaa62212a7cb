import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { DataError } from "../../errors.js";
import { outgoingFetch } from "../../outgoing.js";
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

const part = z.looseObject({ type: z.string(), text: z.string().optional() });
const reply = z.object({
  choices: z
    .array(
      z.object({
        finish_reason: z.string().nullish(),
        message: z.object({
          content: z.union([z.string(), z.array(part)]).nullish(),
          refusal: z.string().nullish(),
          reasoning: z.unknown().optional(),
          reasoning_content: z.unknown().optional(),
        }),
      }),
    )
    .min(1),
});

/** What servers call a question that they do not take. */
const refusalCodes = new Set([
  ...["context_length_exceeded", "exceed_context_size_error", "string_above_max_length", "image_too_large"],
  ...["invalid_image", "invalid_image_format", "image_parse_error", "content_filter", "content_policy_violation"],
]);
/** Words by which servers that give no code say that a request is refused. */
const refusalWords = new RegExp(
  [
    "context (?:length|window|size)|maximum (?:model|context|input) length|prompt is too long",
    "(?:load|decode|open|read|process|identify|parse)\\w* (?:the |this |an? )?(?:image|picture)",
    "(?:invalid|corrupt\\w*|unsupported|broken) (?:image|picture)(?! type)|image \\w* ?(?:is )?too (?:large|small|big)",
    "content (?:filter|policy)|content management policy",
  ].join("|"),
  "i",
);
/** So many questions that a server refuses without a known reason, and none answered: every question would meet it. */
const MOST_UNEXPLAINED = 8;

/** An error as servers write it: OpenAI's object, a text alone, or FastAPI's detail. */
const failure = z.union([
  z.object({
    error: z.object({ code: z.unknown().optional(), type: z.unknown().optional(), message: z.string().default("") }),
  }),
  z.object({ error: z.string() }).transform(({ error }) => ({ error: { code: null, type: null, message: error } })),
  z
    .object({ message: z.string(), code: z.unknown().optional(), type: z.unknown().optional() })
    .transform((error) => ({ error })),
]);

/** A model behind an OpenAI-compatible endpoint, asked greedily. A prompt or picture that it does not take is refused. */
export function endpointAnswerer(options: EndpointOptions): Answerer {
  const { url, model, concurrency = 8 } = options;
  let hasAnswered = false; // this server, whatever it was asked
  return {
    name: `${model} at ${url}`,
    async *answer(requests, signal) {
      let unexplained: Unexplained[] = [];
      const stop = new AbortController();
      const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
      const running = new Map<string, Promise<Answer | Unexplained>>();
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
          if ("error" in answer) unexplained.push(answer);
          else {
            hasAnswered ||= answer.refused === undefined;
            yield answer;
          }
          if (hasAnswered) {
            yield* unexplained.map(({ id, refused }) => ({ id, text: "", refused }));
            unexplained = [];
          } else if (unexplained.length >= MOST_UNEXPLAINED) break;
        }
        if (unexplained[0]) throw unexplained[0].error;
      } finally {
        stop.abort(); // the caller has stopped listening: no request goes on
      }
    },
  };
}

/**
 * A question that the server did not take, for a reason that this file does not know. Where the server answers others, it
 * is about this question; where it answers none, it is about all of them.
 */
interface Unexplained {
  id: string;
  refused: string;
  error: DataError;
}

async function ask(
  request: AnswerRequest,
  options: EndpointOptions,
  signal: AbortSignal,
): Promise<Answer | Unexplained> {
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
    const outcome = await (async (): Promise<Answer | Failure> => {
      try {
        const response = await outgoingFetch(target, {
          method: "POST",
          headers: { "content-type": "application/json", ...(apiKey && { authorization: `Bearer ${apiKey}` }) },
          body,
          signal: AbortSignal.any([signal, AbortSignal.timeout(1000 * timeoutSeconds)]),
        });
        const text = await response.text();
        // Some gateways answer 200 and put the status of the server behind them into the body.
        const told = failure.safeParse(parsedJson(text)).data?.error;
        const status = response.ok && told ? Number(told.code) || 502 : response.status;
        if (response.ok && !told) return { id, ...parseReply(text) };
        const why = told?.message || text.slice(0, 300);
        if (isRefusal(status, why, told)) return { id, text: "", refused: why };
        const wait = Number(response.headers.get("retry-after") ?? "");
        return {
          why: `status ${status}: ${text.slice(0, 300)}`,
          passes: status === 408 || status === 429 || status >= 500,
          ...((status === 400 || status === 422) && { refused: why }),
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
      const error = new DataError(`${target}, question ${id}: ${outcome.why}${times}`);
      if (outcome.refused !== undefined) return { id, refused: outcome.refused, error };
      throw error;
    }
    const jitter = 0.5 + Math.random(); // so that many requests do not come back at the same moment
    await sleep(1000 * Math.max(outcome.wait ?? 0, backoffSeconds * 2 ** attempt * jitter), undefined, { signal });
  }
}

interface Failure {
  why: string;
  /** It may be gone when the question is asked again. */
  passes: boolean;
  /** Seconds that the server asks to wait. */
  wait?: number;
  /** In the server's words, where it may be this question alone that it does not take. */
  refused?: string;
}

/** Whether a server says that it does not take this question, as against any. */
function isRefusal(status: number, message: string, told: { code?: unknown; type?: unknown } | undefined): boolean {
  if (status === 413) return true;
  if (status < 400 || status >= 500 || [401, 404, 408, 429].includes(status)) return false;
  return refusalCodes.has(String(told?.code)) || refusalCodes.has(String(told?.type)) || refusalWords.test(message);
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

/** What a reply says. A filtered one, and one that is all reasoning, is no answer: it is named. */
function parseReply(text: string): Pick<Answer, "text" | "refused"> {
  const value = parsedJson(text);
  if (value === undefined) throw new DataError(`the endpoint's reply is no JSON: ${text.slice(0, 200)}`);
  const parsed = reply.safeParse(value);
  if (!parsed.success)
    throw new DataError(`the endpoint's reply has no choices[0].message.content: ${text.slice(0, 200)}`);
  const { finish_reason: end, message } = parsed.data.choices[0]!;
  const { content, refusal, reasoning, reasoning_content: thoughts } = message;
  const said = Array.isArray(content) ? content.map((part) => part.text ?? "").join("") : (content ?? "");
  if (said.trim() !== "") return { text: said };
  if (refusal) return { text: "", refused: `the model refused: ${refusal}` };
  if (end === "content_filter") return { text: "", refused: "the server's content filter took the answer away" };
  if (thoughts || reasoning) {
    return { text: "", refused: `the reply is reasoning alone (finish_reason ${end}). Allow longer answers.` };
  }
  return { text: said };
}
