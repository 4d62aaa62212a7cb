import { lookup } from "node:dns/promises";
import { existsSync, statSync } from "node:fs";
import type { FastifyInstance } from "fastify";
import { describeDrawing } from "../chat/default-drawing.js";
import { WorkerChat } from "../chat/worker-chat.js";
import { ConfigError } from "../errors.js";
import { isLoopback, nameOf } from "../serve/allowed-hosts.js";
import { buildServer, type RequestRecord } from "../serve/server.js";
import { type OpeningOptions, openOptions } from "./opening.js";
import { printJson } from "./options.js";
import { print, tell } from "./printable.js";

export interface ServeOptions extends OpeningOptions {
  host: string;
  port: number;
  token?: string;
  allowHost: readonly string[];
  allowFiles?: string;
  modelName?: string;
  maxConcurrent: number;
  queue: number;
  cacheMb: number;
  maxBodyMb: number;
  maxImagePixels: number;
  requestTimeout: number;
  json: boolean;
}

/** Serves until a signal comes; then what runs is finished. */
export async function serve(checkpoint: string, options: ServeOptions): Promise<void> {
  const { host, port, allowHost, allowFiles, modelName, maxConcurrent, queue } = options;
  const token = options.token ?? process.env.ASVR_TOKEN;
  if (token === "") throw new ConfigError("the token is empty: give one, or leave --token and ASVR_TOKEN out");
  if (!isLoopback(host) && token === undefined) {
    throw new ConfigError(
      `--host ${host} can be reached from other machines: give a --token, or ASVR_TOKEN in the environment`,
    );
  }
  const nameless = allowHost.find((name) => nameOf(name) === undefined);
  if (nameless !== undefined) throw new ConfigError(`--allow-host ${nameless} is no name: write it as example.org`);
  if (allowFiles !== undefined && !(existsSync(allowFiles) && statSync(allowFiles).isDirectory())) {
    throw new ConfigError(`--allow-files ${allowFiles} is no folder`);
  }
  const service = await WorkerChat.open(checkpoint, openOptions(options), {
    maxRunning: maxConcurrent,
    maxWaiting: maxConcurrent + queue,
    featureBytes: (options.cacheMb * 2 ** 20) / 3,
    prefixBytes: (2 * options.cacheMb * 2 ** 20) / 3,
    ...(options.threads && { threads: options.threads }),
  });
  const app = buildServer(service, {
    maxBodyBytes: options.maxBodyMb * 2 ** 20,
    maxImagePixels: options.maxImagePixels,
    maxRequests: maxConcurrent + queue,
    requestTimeoutSeconds: options.requestTimeout,
    ...(token !== undefined && { token }),
    ...(allowHost.length > 0 && { allowHosts: allowHost }),
    ...(allowFiles !== undefined && { allowFiles }),
    ...(modelName !== undefined && { modelName }),
    onRequest: (record) => tell(`${logLine(record)}\n`),
    onError: (error) => tell(`${error instanceof Error ? error.stack : String(error)}\n`),
  });
  try {
    const url = await listen(app, host, port);
    const model = modelName ?? service.name;
    const { drawing } = service;
    if (options.json) printJson({ url: `${url}/v1`, model, token: token !== undefined, drawing });
    else {
      const withToken = token === undefined ? "" : ", with a token";
      const how = `answers are ${describeDrawing(drawing)} where a request does not say`;
      print(`${model} at ${url}/v1${withToken}; ${how}\n`);
    }
    await stopSignal();
    tell(`stopping: ${service.pending} answer(s) are finished first (once more to stop at once)\n`);
    await app.close();
  } finally {
    await service[Symbol.asyncDispose]();
  }
}

/** What an answer cost stands before its id. A path is whatever the client wrote, and must not steer the terminal. */
function logLine({ id, method, path, status, milliseconds, promptTokens, answerTokens }: RequestRecord): string {
  const shown = path.replace(/[^\x21-\x7e]/g, "?").slice(0, 200);
  const tokens = promptTokens === undefined ? [] : [`${promptTokens} + ${answerTokens} tokens`];
  const what = `${new Date().toISOString()} ${method} ${shown} ${status}`;
  return [what, `${milliseconds.toFixed(0)} ms`, ...tokens, id].join(", ");
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    // A name may have an address of each kind; most clients mean the older one.
    const { address } = await lookup(host, { verbatim: false });
    return await app.listen({ host: address, port });
  } catch (cause) {
    throw new ConfigError(`can't listen at ${host}, port ${port}: ${(cause as Error).message}`, { cause });
  }
}

/** When the first signal comes; the second one ends the process. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let isStopping = false;
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
      process.on(name, () => {
        if (isStopping) process.exit(130);
        isStopping = true;
        resolve();
      });
    }
  });
}
