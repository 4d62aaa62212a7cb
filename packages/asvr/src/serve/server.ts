import { createHash, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RequestPayload } from "fastify";
import { BusyError, type ChatService } from "../chat/chat-service.js";
import { isLoopback, requireAllowedHost } from "./allowed-hosts.js";
import { type End, stopping, stream, type Wording, whole } from "./answering.js";
import { ApiError, apiErrorOf } from "./api-error.js";
import { BodyBudget } from "./body-budget.js";
import { type ChatRequest, type Drawing, drawingOf, parseChatRequest } from "./chat-request.js";
import { Completion } from "./completion.js";
import { Connections } from "./connections.js";
import { PixelBudget } from "./pixel-budget.js";
import { readMessages } from "./request-pictures.js";
import { ResponseObject } from "./response.js";
import { asChatRequest, parseResponseRequest } from "./response-request.js";

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
  /** Is told every request. */
  readonly onRequest?: (record: RequestRecord) => void;
  /** Is told errors of the program itself. */
  readonly onError?: (error: unknown) => void;
}

/** What a log says of a request: it is told when its answer is out, or its client gone. */
export interface RequestRecord {
  /** What the answer's header `x-request-id` says. */
  readonly id: string;
  readonly method: string;
  /** As the client wrote it, without its query. */
  readonly path: string;
  /** 499: the client left before the end of the answer. */
  readonly status: number;
  readonly milliseconds: number;
  /** Where questions were answered. */
  readonly promptTokens?: number;
  readonly answerTokens?: number;
}

/**
 * A model behind OpenAI's interface: `/v1/models`, `/v1/chat/completions`, `/v1/responses`, and `/health`. It listens nowhere yet.
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
    genReqId: requestId,
  });
  app.removeContentTypeParser("text/plain");
  const counts = { open: 0, answered: 0, refused: 0, promptTokens: 0, answerTokens: 0 };

  app.setErrorHandler((error, _request, reply) => {
    const told = apiErrorOf(error);
    // What fails after its client left is told to nobody.
    if (told.status === 500 && !reply.raw.destroyed) options.onError?.(error);
    void reply.status(told.status).headers(told.headers).send(told.toJSON());
  });
  app.setNotFoundHandler((request, reply) => {
    const told = new ApiError(404, `there is no ${request.method} ${request.url.split("?")[0]}`, { code: "not_found" });
    void reply.status(404).send(told.toJSON());
  });
  app.addHook("preClose", async () => connections.close());
  const outcomes = new WeakMap<
    FastifyRequest,
    Pick<RequestRecord, "promptTokens" | "answerTokens"> & { status?: number }
  >();
  app.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id);
    const started = performance.now();
    const [path] = request.url.split("?") as [string];
    connections.whenGone(reply, () => {
      const status = reply.raw.writableFinished ? reply.raw.statusCode : 499;
      const { id, method } = request;
      options.onRequest?.({
        id,
        method,
        path,
        status,
        milliseconds: performance.now() - started,
        ...outcomes.get(request),
      });
    });
    const isLocal = app.addresses().every((at) => typeof at !== "string" && isLoopback(at.address));
    if (isLocal || options.allowHosts) requireAllowedHost(request, options.allowHosts ?? []);
    if (connections.isClosing) throw new ApiError(503, "the server is shutting down", shuttingDown);
  });
  app.addHook("preHandler", async (_request, reply) => connections.answer(reply));

  app.get("/health", async () => ({ status: "ok", model, pending: service.pending, ...counts }));
  const maxPixels = options.maxImagePixels ?? 50_000_000;
  const budget = new PixelBudget(maxPixels);
  const bodies = new BodyBudget(LARGEST_BODIES * maxBodyBytes);
  const bodyOf = new WeakMap<FastifyRequest, () => void>(); // gives its bytes back
  // The token is asked for by the routes themselves: however a path is written, it leads to a route or to none.
  app.register(async (api) => {
    api.addHook("onRequest", async (request) => requireToken(request, options.token));
    const described = { id: model, object: "model", created, owned_by: "asvr" };
    api.get("/v1/models", async () => ({ object: "list", data: [described] }));
    api.get<{ Params: { "*": string } }>("/v1/models/*", async (request) => {
      requireModel(request.params["*"], model);
      return described;
    });

    const requirePlace = () => {
      if (counts.open < maxRequests) return;
      counts.refused++;
      throw new BusyError(`${counts.open} requests are being answered or wait`);
    };
    const arriving = {
      // Before the body is read: what waits must fit into memory.
      onRequest: async () => requirePlace(),
      preParsing: async (request: FastifyRequest, reply: FastifyReply, payload: RequestPayload) => {
        const { stream, release } = bodies.count(payload);
        bodyOf.set(request, release);
        connections.whenGone(reply, release);
        return stream;
      },
      // A place is taken when the body is there: who sends headers alone shuts nobody out.
      preValidation: async (_request: FastifyRequest, reply: FastifyReply) => {
        requirePlace();
        counts.open++;
        connections.whenGone(reply, () => counts.open--);
      },
    };
    api.post("/v1/chat/completions", arriving, async (request, reply) => {
      const asked = parseChatRequest(request.body);
      const wording = new Completion(model, asked.stream_options?.include_usage ?? false);
      return answer(request, reply, asked, drawingOf(asked, service.drawing), wording);
    });
    api.post("/v1/responses", arriving, async (request, reply) => {
      const asked = parseResponseRequest(request.body);
      const plain = asChatRequest(asked);
      const drawings = drawingOf(plain, service.drawing);
      return answer(request, reply, plain, drawings, new ResponseObject(asked, drawings[0]!));
    });
  });

  async function answer(
    request: FastifyRequest,
    reply: FastifyReply,
    asked: ChatRequest,
    drawings: readonly Drawing[],
    wording: Wording,
  ): Promise<FastifyReply> {
    requireModel(asked.model, model);
    const stop = stopping(reply, connections, options.requestTimeoutSeconds ?? 600);
    const count = (ends: readonly End[]) => {
      const used = {
        promptTokens: ends[0]!.promptTokens,
        answerTokens: ends.reduce((sum, { answerTokens }) => sum + answerTokens, 0),
      };
      outcomes.set(request, used);
      counts.answered++;
      counts.promptTokens += used.promptTokens;
      counts.answerTokens += used.answerTokens;
    };
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
      const answers = drawings.map((drawing) =>
        service.ask(messages, { ...drawing, signal: stop.signal })[Symbol.asyncIterator](),
      );
      if (asked.stream) {
        count(await stream(reply, connections, answers, wording, stop));
        return reply;
      }
      const given = await whole(answers, stop);
      count(given.map(({ end }) => end));
      return reply.send(wording.whole(given));
    } catch (error) {
      stop.abort(error); // the other answers to it
      if (!reply.sent) throw error;
      const told = apiErrorOf(error); // in the stream, which can't have another status any more
      outcomes.set(request, { status: told.status });
      if (told.status === 500) options.onError?.(error);
      return reply;
    }
  }
  return app;
}

/** Bodies of the largest size that may be there at a time. */
const LARGEST_BODIES = 8;
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
    `X-Request-Id: ${requestId()}`,
    "Connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

const shuttingDown = { type: "server_error", code: "shutting_down" };

function requestId(): string {
  return `req_${randomUUID().replaceAll("-", "")}`;
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
