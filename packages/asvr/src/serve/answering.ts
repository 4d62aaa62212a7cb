import { once } from "node:events";
import type { FastifyReply } from "fastify";
import type { AnswerEvent } from "../chat/chat-service.js";
import { ApiError, apiErrorOf } from "./api-error.js";
import type { Connections } from "./connections.js";

export type Answer = AsyncIterator<AnswerEvent>;
export type End = Extract<AnswerEvent, { type: "end" }>;
export interface Given {
  readonly text: string;
  readonly end: End;
}

/** How answers to one request are told: whole as one object, or streamed as what each moment is worth telling. */
export interface Wording {
  whole(answers: readonly Given[]): object;
  begin(index: number): readonly object[];
  piece(index: number, text: string): readonly object[];
  end(index: number, answer: Given): readonly object[];
  /** After the last answer ended; a text is sent as it is. */
  close(ends: readonly End[]): readonly (object | string)[];
  /** Of a stream that has begun. */
  failure(error: ApiError): readonly object[];
}

const UNREAD_MS = 10_000;

/** Ends an answer when nobody waits for it any more, or it takes too long. */
export function stopping(reply: FastifyReply, connections: Connections, seconds: number): AbortController {
  const stop = new AbortController();
  const late = { type: "server_error", code: "timeout" };
  const timer = setTimeout(() => stop.abort(new ApiError(504, `no answer within ${seconds} s`, late)), 1000 * seconds);
  connections.whenGone(reply, () => {
    clearTimeout(timer);
    if (!reply.raw.writableFinished) stop.abort(new ApiError(499, "the client left"));
  });
  return stop;
}

/** Answers as a whole. */
export async function whole(answers: readonly Answer[], stop: AbortController): Promise<Given[]> {
  const given = await Promise.all(answers.map((answer) => follow(answer)));
  stop.signal.throwIfAborted();
  return given;
}

/**
 * Answers in server-sent events.
 * @throws what went wrong; once the stream has begun it has been told there, too
 */
export async function stream(
  reply: FastifyReply,
  connections: Connections,
  answers: readonly Answer[],
  wording: Wording,
  stop: AbortController,
): Promise<End[]> {
  // What is refused is refused with a status of its own, before the stream begins.
  for (const answer of answers) await answer.next();
  reply.hijack();
  const { raw } = reply;
  const headers = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" };
  raw.writeHead(200, { ...(reply.getHeaders() as Record<string, string>), ...headers });
  const send = async (told: readonly (object | string)[]) => {
    if (told.length === 0 || raw.destroyed || raw.write(told.map(eventText).join(""))) return;
    // A reader that is slower than the model: until it has read, or is gone or out of time.
    await once(raw, "drain", { signal: stop.signal }).catch(() => {});
  };
  try {
    const ends = await Promise.all(
      answers.map(async (answer, index) => {
        await send(wording.begin(index));
        const given = await follow(answer, (text) => send(wording.piece(index, text)));
        stop.signal.throwIfAborted();
        await send(wording.end(index, given));
        return given.end;
      }),
    );
    await send(wording.close(ends));
    return ends;
  } catch (error) {
    await send(wording.failure(apiErrorOf(error)));
    throw error;
  } finally {
    raw.end();
    // A reader that doesn't read must not hold what is written for ever.
    const timer = setTimeout(() => raw.destroy(), UNREAD_MS);
    connections.whenGone(reply, () => clearTimeout(timer));
  }
}

/** An event is named where what it tells has a type. */
function eventText(told: object | string): string {
  if (typeof told === "string") return `data: ${told}\n\n`;
  const name = "type" in told ? `event: ${told.type}\n` : "";
  return `${name}data: ${JSON.stringify(told)}\n\n`;
}

async function follow(answer: Answer, onText?: (text: string) => Promise<void>): Promise<Given> {
  const pieces: string[] = [];
  for (let next = await answer.next(); !next.done; next = await answer.next()) {
    if (next.value.type === "text") {
      pieces.push(next.value.text);
      await onText?.(next.value.text);
    } else if (next.value.type === "end") return { text: pieces.join(""), end: next.value };
  }
  throw new Error("the answer did not end");
}
