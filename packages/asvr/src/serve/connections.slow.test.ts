import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { start } from "./fixture.js";

const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
const question = (more: object) => {
  const messages = [{ role: "user", content: "Go on." }];
  const body = JSON.stringify({ model: "hf-llava-tiny", messages, ...more });
  return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
};

async function connected(port: number, text: string): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  if (text !== "") await new Promise((resolve) => socket.write(text, resolve));
  await new Promise((resolve) => setTimeout(resolve, 50));
  return socket;
}

test.each([
  ["that sent nothing", ""],
  ["in the middle of its headers", head],
  ["in the middle of its body", `${head}Content-Length: 900\r\n\r\n{"model":`],
  ["that is kept open for more", "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"],
])("closing does not wait for a connection %s", async (_, text) => {
  const { app, port } = await start();
  const socket = await connected(port, text);
  const ended = new Promise((resolve) => socket.resume().once("close", resolve));
  const started = performance.now();
  await app.close();
  await ended;
  expect(performance.now() - started).toBeLessThan(2000);
});

test("closing waits a few seconds for a client that reads nothing", async () => {
  const { app, port, engine } = await start();
  engine.ask = async function* (_messages, { signal } = {}) {
    yield { type: "begin", promptTokens: 1 };
    while (!signal?.aborted) {
      yield { type: "text", text: "x".repeat(100_000) };
      await new Promise((resolve) => setImmediate(resolve));
    }
    yield { type: "end", reason: "cancelled", promptTokens: 1, answerTokens: 1 };
  };
  const socket = await connected(port, question({ stream: true }));
  socket.pause();
  const started = performance.now();
  await app.close();
  expect(performance.now() - started).toBeLessThan(9000);
}, 20_000);

test("a client that left keeps neither a place nor a timer, where its questions wait behind each other too", async () => {
  const { port, url } = await start({ maxRequests: 4 });
  for (let i = 0; i < 3; i++) {
    const socket = await connected(port, question({ stream: true }).repeat(4));
    socket.destroy();
    (await connected(port, question({}))).destroy();
  }
  const health = async () => ((await (await fetch(`${url}/health`)).json()) as { open: number }).open;
  await expect.poll(health).toBe(0);
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  await expect.poll(timers).toBeLessThan(3);
});
