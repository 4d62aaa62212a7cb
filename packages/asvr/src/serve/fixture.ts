import { connect } from "node:net";
import { memory, setThreads } from "@asvr/torch";
import OpenAI from "openai";
import { afterAll, afterEach, expect } from "vitest";
import { ChatEngine, type ChatEngineOptions } from "../chat/chat-engine.js";
import { tinyFolder } from "../chat/fixture.js";
import { openChatModel } from "../chat/open.js";
import { buildServer, type ServerOptions } from "./server.js";

setThreads(1); // test files run side by side
const before = memory().tensors;
const model = await openChatModel(tinyFolder);
const open: { close(): Promise<unknown>; engine: ChatEngine }[] = [];
afterEach(async () => {
  for (const { close, engine } of open.splice(0)) {
    await close();
    expect(engine.pending).toBe(0);
    engine[Symbol.dispose]();
  }
});
afterAll(() => {
  model[Symbol.dispose]();
  expect(memory().tensors).toBe(before);
});

/** A server of a tiny model, closed after the test. */
export async function start(options: ServerOptions = {}, engineOptions: ChatEngineOptions = {}) {
  const engine = new ChatEngine(model, engineOptions);
  const failures: unknown[] = [];
  const app = buildServer(engine, { onError: (error) => failures.push(error), ...options });
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  open.push({ close: () => app.close(), engine });
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: options.token ?? "none", maxRetries: 0 });
  const post = (body: string, headers = {}) =>
    fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", ...headers },
    });
  return { engine, app, url, client, post, failures, port: Number(new URL(url).port) };
}

/** What the server says to these bytes until it ends the connection. */
export function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let told = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.setEncoding("utf8").on("data", (data: string) => {
      told += data;
    });
    socket.on("close", () => resolve(told)).on("error", reject);
  });
}
