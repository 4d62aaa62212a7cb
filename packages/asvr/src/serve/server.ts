import { createHash, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type AnswerEvent, BusyError, type ChatService } from "../chat/chat-service.js";
import { isLoopback, requireAllowedHost } from "./allowed-hosts.js";
import { ApiError, apiErrorOf } from "./api-error.js";
import { BodyBudget } from "./body-budget.js";
import { type ChatRequest, drawingOf, parseChatRequest } from "./chat-request.js";
import { Completion } from "./completion.js";
import { Connections } from "./connections.js";
import { PixelBudget } from "./pixel-budget.js";
import { readMessages } from "./request-pictures.js";

export interface ServerOptions {
  /** What requests must show as `Authorization: Bearer …`; default: nothing. */
  readonly token?: string;
  /**
   * Names that `Host` and `Origin` may have beside this machine's own. Default: none where the server listens on this
   * machine alone, any elsewhere.
   */
  readonly allowHosts?: readonly string[];
  /** `file://` URLs may name pictures in here; default: no files. */
  readonly allowFiles?: string;
  /** Default 32 MiB. */
  readonly maxBodyBytes?: number;
  /**
   * Of a request's pictures together; default 50 million. It is the budget of all requests too: another one's pictures
   * are decoded when those before it hold less.
   */
  readonly maxImagePixels?: number;
  /** Requests that are answered or wait; one more is refused. Default 128. */
  readonly maxRequests?: number;
  /** From the last byte of a request to the last of its answer. Default 600. */
  readonly requestTimeoutSeconds?: number;
  /** For the headers and the body of a request to arrive. Default 30. */
  readonly arrivalTimeoutSeconds?: number;
  /** What the model is called; default: its own name. */
  readonly modelName?: string;
  /** Is told errors of the program itself. */
  readonly onError?: (error: unknown) => void;
}

type End = Extract<AnswerEvent, { type: "end" }>;

/**
 * A model behind OpenAI's interface: `/v1/models`, `/v1/chat/completions`, and `/health`. It listens nowhere yet.
 * Closing it finishes what is being answered and refuses what comes meanwhile.
 */
export function buildServer(service: ChatService, options: ServerOptions = {}): FastifyInstance {
  const { maxBodyBytes = 32 * 2 ** 20, maxRequests = 128, arrivalTimeoutSeconds = 30 } = options;
  const model = options.modelName ?? service.name;
  const created = Math.floor(Date.now() / 1000);
  const arrival = 1000 * arrivalTimeoutSeconds;
  const connections = new Connections();
  const app = Fastify({
    bodyLimit: maxBodyBytes,
    serverFactory: (answer) => {
      const server = createServer(
        {
          requestTimeout: arrival,
          headersTimeout: arrival,
          connectionsCheckingInterval: Math.min(arrival, 5000),
          keepAliveTimeout: KEEP_ALIVE_MS,
        },
        answer,
      );
      connections.watch(server);
      return server;
    },
    return503OnClosing: false, // it would not be told in OpenAI's words
    clientErrorHandler: tellBrokenRequest,
    routerOptions: { maxParamLength: 500 },
  });
  const counts = { open: 0, answered: 0, refused: 0, promptTokens: 0, answerTokens: 0 };

  app.setErrorHandler((error, _request, reply) => {
    const told = apiErrorOf(error);
    // What fails after its client left is told to nobody.
    if (told.status === 500 && !reply.raw.destroyed) options.onError?.(error);
    void reply.status(told.status).send(told.toJSON());
  });
  app.setNotFoundHandler((request, reply) => {
    const told = new ApiError(404, `there is no ${request.method} ${request.url.split("?")[0]}`, { code: "not_found" });
    void reply.status(404).send(told.toJSON());
  });
  app.addHook("preClose", async () => connections.close());
  app.addHook("onRequest", async (request) => {
    const isLocal = app.addresses().every((at) => typeof at !== "string" && isLoopback(at.address));
    if (isLocal || options.allowHosts) requireAllowedHost(request, options.allowHosts ?? []);
    if (connections.isClosing) throw new ApiError(503, "the server is shutting down", shuttingDown);
  });
  app.addHook("preHandler", async (_request, reply) => connections.answer(reply));

  app.get("/health", async () => ({ status: "ok", model, pending: service.pending, ...counts }));
  // The token is asked for by the routes themselves: however a path is written, it leads to a route or to none.
  app.register(async (api) => {
    api.addHook("onRequest", async (request) => requireToken(request, options.token));
    const described = { id: model, object: "model", created, owned_by: "asvr" };
    api.get("/v1/models", async () => ({ object: "list", data: [described] }));
    api.get<{ Params: { "*": string } }>("/v1/models/*", async (request) => {
      requireModel(request.params["*"], model);
      return described;
    });

    const maxPixels = options.maxImagePixels ?? 50_000_000;
    const budget = new PixelBudget(maxPixels);
    const bodies = new BodyBudget(LARGEST_BODIES * maxBodyBytes);
    const bodyOf = new WeakMap<FastifyRequest, () => void>(); // gives its bytes back
    const requirePlace = () => {
      if (counts.open < maxRequests) return;
      counts.refused++;
      throw new BusyError(`${counts.open} requests are being answered or wait`);
    };
    api.post(
      "/v1/chat/completions",
      {
        // Before the body is read: what waits must fit into memory.
        onRequest: async () => requirePlace(),
        preParsing: async (request, reply, payload) => {
          const { stream, release } = bodies.count(payload);
          bodyOf.set(request, release);
          connections.whenGone(reply, release);
          return stream;
        },
        // A place is taken when the body is there: who sends headers alone shuts nobody out.
        preValidation: async (_request, reply) => {
          requirePlace();
          counts.open++;
          connections.whenGone(reply, () => counts.open--);
        },
      },
      async (request, reply) => {
        const asked = parseChatRequest(request.body);
        requireModel(asked.model, model);
        const stop = stopping(reply, connections, options.requestTimeoutSeconds ?? 600);
        try {
          const limits = { maxPixels, ...(options.allowFiles !== undefined && { folder: options.allowFiles }) };
          const hasPictures = asked.messages.some(
            ({ content }) => typeof content !== "string" && content.some(({ type }) => type === "image_url"),
          );
          const read = (hold?: (pixels: number) => void) =>
            readMessages(asked.messages, { ...limits, ...(hold && { hold }) });
          const { result: messages, release } = hasPictures
            ? await budget.decode(read, stop.signal)
            : { result: await read(), release: () => {} };
          connections.whenGone(reply, release);
          (request as { body: unknown }).body = undefined; // its pictures are decoded: they need not be there twice
          bodyOf.get(request)!();
          const answers = drawingOf(asked).map((drawing) =>
            service.ask(messages, { ...drawing, signal: stop.signal })[Symbol.asyncIterator](),
          );
          const completion = new Completion(model);
          const ends = asked.stream
            ? await stream(reply, connections, answers, completion, asked, stop, options)
            : await whole(reply, answers, completion, stop);
          counts.answered++;
          counts.promptTokens += ends[0]?.promptTokens ?? 0;
          counts.answerTokens += ends.reduce((sum, { answerTokens }) => sum + answerTokens, 0);
          return reply;
        } catch (error) {
          stop.abort(error); // the other answers to it
          throw error;
        }
      },
    );
  });
  return app;
}

/** Bodies of the largest size that may be there at a time. */
const LARGEST_BODIES = 8;
const UNREAD_MS = 10_000;
const KEEP_ALIVE_MS = 72_000;

/** A request that is no HTTP, or did not arrive in time. */
function tellBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const status = error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : error.code === "HPE_HEADER_OVERFLOW" ? 431 : 400;
  const told = new ApiError(status, status === 408 ? "the request did not arrive in time" : "this is no HTTP request");
  const body = JSON.stringify(told);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

type Answer = AsyncIterator<AnswerEvent>;

/** Ends an answer when nobody waits for it any more, or it takes too long. */
function stopping(reply: FastifyReply, connections: Connections, seconds: number): AbortController {
  const stop = new AbortController();
  const timer = setTimeout(
    () => stop.abort(new ApiError(504, `no answer within ${seconds} s`, timedOut)),
    1000 * seconds,
  );
  connections.whenGone(reply, () => {
    clearTimeout(timer);
    if (!reply.raw.writableFinished) stop.abort(new ApiError(499, "the client left"));
  });
  return stop;
}

const shuttingDown = { type: "server_error", code: "shutting_down" };
const timedOut = { type: "server_error", code: "timeout" };

async function whole(
  reply: FastifyReply,
  answers: readonly Answer[],
  completion: Completion,
  stop: AbortController,
): Promise<End[]> {
  const given = await Promise.all(
    answers.map(async (answer) => {
      const pieces: string[] = [];
      const end = await follow(answer, (text) => void pieces.push(text));
      return { text: pieces.join(""), end };
    }),
  );
  stop.signal.throwIfAborted();
  await reply.send(completion.whole(given));
  return given.map(({ end }) => end);
}

async function stream(
  reply: FastifyReply,
  connections: Connections,
  answers: readonly Answer[],
  completion: Completion,
  { stream_options }: ChatRequest,
  stop: AbortController,
  { onError }: ServerOptions,
): Promise<End[]> {
  const hasUsage = stream_options?.include_usage ?? false;
  // What is refused is refused with a status of its own, before the stream begins.
  for (const answer of answers) await answer.next();
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" });
  const send = async (data: unknown) => {
    if (raw.destroyed || raw.write(`data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`)) return;
    // A reader that is slower than the model: until it has read, or is gone or out of time.
    await once(raw, "drain", { signal: stop.signal }).catch(() => {});
  };
  try {
    const ends = await Promise.all(
      answers.map(async (answer, index) => {
        await send(completion.piece(index, { role: "assistant", content: "" }, null, hasUsage));
        const end = await follow(answer, (text) => send(completion.piece(index, { content: text }, null, hasUsage)));
        stop.signal.throwIfAborted();
        await send(completion.piece(index, {}, end, hasUsage));
        return end;
      }),
    );
    if (hasUsage) await send(completion.usagePiece(ends));
    await send("[DONE]");
    return ends;
  } catch (error) {
    const told = apiErrorOf(error);
    if (told.status === 500) onError?.(error);
    await send(told);
    return [];
  } finally {
    raw.end();
    // A reader that doesn't read must not hold what is written for ever.
    const timer = setTimeout(() => raw.destroy(), UNREAD_MS);
    connections.whenGone(reply, () => clearTimeout(timer));
  }
}

async function follow(answer: Answer, onText: (text: string) => void | Promise<void>): Promise<End> {
  for (let next = await answer.next(); !next.done; next = await answer.next()) {
    if (next.value.type === "text") await onText(next.value.text);
    else if (next.value.type === "end") return next.value;
  }
  throw new Error("the answer did not end");
}

function requireModel(asked: string, model: string): void {
  if (asked === model) return;
  throw new ApiError(404, `there is no model ${JSON.stringify(asked)} here, only ${JSON.stringify(model)}`, {
    param: "model",
    code: "model_not_found",
  });
}

/** Compared by their hashes, in the same time whatever they are. */
function requireToken({ headers }: FastifyRequest, token: string | undefined): void {
  if (token === undefined) return;
  const [, given = ""] = /^Bearer +(.+)$/i.exec(headers.authorization ?? "") ?? [];
  const hash = (text: string) => createHash("sha256").update(text).digest();
  if (timingSafeEqual(hash(given), hash(token))) return;
  throw new ApiError(401, "the token is missing or wrong: send it as Authorization: Bearer TOKEN", {
    type: "authentication_error",
    code: "invalid_api_key",
  });
}
