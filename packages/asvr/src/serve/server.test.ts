import { once } from "node:events";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from "openai";
import sharp from "sharp";
import { afterAll, expect, test } from "vitest";
import { noise, userSays, wholeAnswer } from "../chat/fixture.js";
import type { RgbImage } from "../data/images.js";
import { raw, start } from "./fixture.js";
import type { RequestRecord } from "./server.js";

const root = realpathSync(mkdtempSync(join(tmpdir(), "asvr-serve-")));
const pictures = join(root, "pictures");
mkdirSync(pictures);
const png = await pngOf(noise(1));
writeFileSync(join(pictures, "cat.png"), png);
writeFileSync(join(root, "secret.png"), png);
symlinkSync(join(root, "secret.png"), join(pictures, "link.png"));

function pngOf({ width, height, data }: RgbImage): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

afterAll(() => rmSync(root, { recursive: true }));

const dataUrl = `data:image/png;base64,${png.toString("base64")}`;
const shows = (url: string, text = "Which is the cat?") => [
  {
    role: "user" as const,
    content: [
      { type: "image_url" as const, image_url: { url } },
      { type: "text" as const, text },
    ],
  },
];
const greedy = { model: "hf-llava-tiny", temperature: 0, max_tokens: 6 };

async function failure(promise: PromiseLike<unknown>): Promise<APIError> {
  try {
    await promise;
  } catch (error) {
    expect(error).toBeInstanceOf(APIError);
    return error as APIError;
  }
  throw new Error("it was not refused");
}

test("OpenAI's client lists the model and asks it about a picture; usage is counted", async () => {
  const { client, engine } = await start();
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["hf-llava-tiny"]);
  expect((await client.models.retrieve("hf-llava-tiny")).owned_by).toBe("asvr");
  const messages = userSays("Which is the cat?", noise(1));
  const wanted = await wholeAnswer(engine.ask(messages, { maxNewTokens: 6 }));
  const answer = await client.chat.completions.create({ ...greedy, messages: shows(dataUrl) });
  expect(answer.choices[0]!.message).toMatchObject({ role: "assistant", content: wanted.text });
  expect(answer.choices[0]!.finish_reason).toBe(wanted.reason);
  expect(answer.usage).toEqual({
    prompt_tokens: wanted.promptTokens,
    completion_tokens: wanted.answerTokens,
    total_tokens: wanted.promptTokens + wanted.answerTokens,
  });
});

test("streams the same text in pieces, usage last", async () => {
  const { client } = await start();
  const whole = await client.chat.completions.create({ ...greedy, messages: shows(dataUrl) });
  const stream = await client.chat.completions.create({
    ...{ ...greedy, messages: shows(dataUrl), stream: true as const, stream_options: { include_usage: true } },
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(chunks[0]!.choices[0]!.delta.role).toBe("assistant");
  expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe(whole.choices[0]!.message.content);
  expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe(whole.choices[0]!.finish_reason);
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
});

test("several choices, seeds, stop texts, system messages, other names", async () => {
  const { client } = await start({ modelName: "ours" });
  const drawn = {
    model: "ours",
    max_tokens: 8,
    temperature: 1.5,
    messages: [{ role: "user" as const, content: "Hi" }],
  };
  const ask = (more: object) => client.chat.completions.create({ ...drawn, ...more, stream: false });
  const three = await ask({ n: 3, seed: 5 });
  const texts = three.choices.map(({ message }) => message.content);
  expect(new Set(texts).size).toBe(3);
  expect((await ask({ seed: 6 })).choices[0]!.message.content).toBe(texts[1]);
  expect(three.usage!.completion_tokens).toBeGreaterThan(8);
  const stop = texts[0]!.slice(3, 6);
  expect((await ask({ seed: 5, stop })).choices[0]!.message.content).toBe(texts[0]!.slice(0, texts[0]!.indexOf(stop)));
  const system = await ask({ messages: [{ role: "system", content: "Be brief." }, ...drawn.messages] });
  expect(system.usage!.prompt_tokens).not.toBe(three.usage!.prompt_tokens);
});

test("files inside the allowed folder are read, and nothing outside of it", async () => {
  const { client } = await start({ allowFiles: pictures });
  const ask = (url: string) => client.chat.completions.create({ ...greedy, messages: shows(url) });
  const byData = await ask(dataUrl);
  const byFile = await ask(pathToFileURL(join(pictures, "cat.png")).href);
  expect(byFile.choices[0]!.message.content).toBe(byData.choices[0]!.message.content);
  const outside = [
    pathToFileURL(join(root, "secret.png")).href,
    `file://${pictures}/../secret.png`,
    `file://${pictures}/%2e%2e/secret.png`,
    `file://${pictures}/..%2fsecret.png`,
    pathToFileURL(join(pictures, "link.png")).href,
    "file:///etc/passwd",
    "file://elsewhere/cat.png",
    `file://${pictures}/none.png`,
    `file://${pictures}/cat.png%00.jpg`,
    `file://${pictures}`,
  ];
  for (const url of outside) {
    const error = await failure(ask(url));
    expect([url, error.status]).toEqual([url, 400]);
    expect(error.param).toBe("messages.0.content.0.image_url");
  }
  const { client: closed } = await start();
  const error = await failure(closed.chat.completions.create({ ...greedy, messages: shows("file:///etc/passwd") }));
  expect(error.message).toMatch(/started without --allow-files/);
});

test("nothing is fetched from elsewhere", async () => {
  const { client } = await start();
  const base64 = png.toString("base64");
  for (const [url, message] of [
    [base64, /that is base64 without its head.*data:image\/png;base64,/],
    ["data:image/png,abc", /the data URL begins with data:image\/png\. Send the picture as data:image\/png;base64/],
    ["data:text/html,<p>", /begins with data:text\/html/],
  ] as const) {
    const error = await failure(client.chat.completions.create({ ...greedy, messages: shows(url) }));
    expect([error.status, error.code]).toEqual([400, "invalid_image_url"]);
    expect(error.message).toMatch(message);
  }
  for (const url of ["http://127.0.0.1/x.png", "https://example.org/x.png", "ftp://x/y", "x.png"]) {
    const error = await failure(client.chat.completions.create({ ...greedy, messages: shows(url) }));
    expect([error.status, error.code]).toEqual([400, "invalid_image_url"]);
    expect(error.message).toMatch(/is not fetched\. Send the picture as a data URL/);
  }
});

test("bad requests name the field", async () => {
  const { client, post } = await start();
  const cases: [object, string | null, RegExp][] = [
    [{ messages: [] }, "messages", /messages/],
    [{ messages: [{ role: "user", content: 5 }] }, "messages.0.content", /messages\.0\.content/],
    [{ messages: [{ role: "tool", content: "x" }] }, "messages.0.role", /role/],
    [{ messages: [{ role: "user", content: [{ type: "audio" }] }] }, "messages.0.content.0.type", /type/],
    [{ temperature: 3 }, "temperature", /temperature/],
    [{ top_p: -1 }, "top_p", /top_p/],
    [{ stop: Array(17).fill("x") }, "stop", /stop: .*<=16 items/],
    [{ max_tokens: 0 }, "max_tokens", /max_tokens/],
    [{ n: 100 }, "n", /n: /],
    [{ logprobs: true }, "logprobs", /logprobs is not supported/],
    [{ tools: [{}] }, "tools", /tools is not supported/],
    [{ response_format: { type: "json_object" } }, "response_format", /response_format is not supported/],
    [{ messages: [{ role: "user", content: "x".repeat(900) }] }, "messages", /tokens, and the model reads 256/],
    [{ messages: [{ role: "user", content: "an <image>" }] }, "messages", /can't be said as text/],
  ];
  for (const [change, param, message] of cases) {
    const body = { ...greedy, messages: [{ role: "user", content: "Hi" }], ...change };
    for (const stream of [false, true]) {
      const answer = await post(JSON.stringify({ ...body, stream }));
      const { error } = (await answer.json()) as { error: { param: string; message: string; type: string } };
      expect([answer.status, error.param, error.type]).toEqual([400, param, "invalid_request_error"]);
      expect(error.message).toMatch(message);
    }
  }
  for (const body of ["{", "", "[]", "null", '{"__proto__": 1}', "\ufeff{}"]) {
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toHaveProperty("error.message");
  }
  const other = await failure(client.chat.completions.create({ ...greedy, model: "other", messages: shows(dataUrl) }));
  expect(other).toBeInstanceOf(NotFoundError);
  expect(other.code).toBe("model_not_found");
  expect(await failure(client.models.retrieve("other"))).toBeInstanceOf(NotFoundError);
  expect(await failure(client.embeddings.create({ model: "x", input: "y" }))).toBeInstanceOf(NotFoundError);
});

test("what other clients send is read: a plain URL, unknown types of bytes, top_p 0; other bodies than JSON are not", async () => {
  const { client, post } = await start();
  const { choices } = await client.chat.completions.create({ ...greedy, messages: shows(dataUrl) });
  const bytes = png.toString("base64");
  for (const image_url of [
    dataUrl,
    { url: `data:application/octet-stream;base64,${bytes}` },
    { url: `data:image/*;base64,${bytes}` },
  ]) {
    const content = [{ type: "image_url", image_url }, shows("")[0]!.content[1]];
    const answer = await post(JSON.stringify({ ...greedy, top_p: 0, messages: [{ role: "user", content }] }));
    expect(await answer.json()).toMatchObject({ choices: [{ message: choices[0]!.message }] });
  }
  for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
    const answer = await post("{}", { "content-type": type });
    expect(answer.status).toBe(415);
    expect(await answer.json()).toMatchObject({ error: { message: expect.stringContaining("application/json") } });
  }
});

test("where a request gives no temperature, the model's own way of drawing holds; greedy without one", async () => {
  const { client, engine } = await start();
  const ask = async (more: object) => {
    const messages = [{ role: "user" as const, content: "Go on." }];
    const asked = { model: "hf-llava-tiny", max_tokens: 12, seed: 5, messages, ...more, stream: false as const };
    return (await client.chat.completions.create(asked)).choices[0]!.message.content;
  };
  const [greedily, drawn] = [await ask({ temperature: 0 }), await ask({ temperature: 1.5, top_k: 9 })];
  expect(drawn).not.toBe(greedily);
  expect(await ask({})).toBe(greedily);
  expect(await ask({ temperature: 1.5, top_p: 0 })).toBe(greedily);
  Object.assign(engine, { drawing: { temperature: 1.5, topK: 9 } });
  expect(await ask({})).toBe(drawn);
  expect(await ask({ temperature: 0 })).toBe(greedily);
});

test("every answer has an id and is told once, with what it cost; a busy server says when to come again", async () => {
  const records: RequestRecord[] = [];
  const { client, url, port, post } = await start({ maxRequests: 1, onRequest: (record) => records.push(record) });
  const messages = [{ role: "user" as const, content: "Go on." }];
  const whole = await client.chat.completions.create({ ...greedy, messages }).withResponse();
  const stream = await client.chat.completions
    .create({ ...greedy, max_tokens: 150, messages, stream: true })
    .withResponse();
  const busy = await post(JSON.stringify({ ...greedy, messages }));
  expect([busy.status, busy.headers.get("retry-after")]).toEqual([429, "1"]);
  for await (const _ of stream.data) break; // and leaves
  await expect.poll(() => records.length).toBe(3);
  const none = await fetch(`${url}/none?key=secret`);
  const ids = [whole.response, busy, stream.response, none].map(({ headers }) => headers.get("x-request-id"));
  expect(new Set(ids).size).toBe(4);
  for (const id of ids) expect(id).toMatch(/^req_[0-9a-f]{32}$/);
  await expect
    .poll(() => records.map(({ id, status, path }) => [id, status, path]))
    .toEqual([
      [ids[0], 200, "/v1/chat/completions"],
      [ids[1], 429, "/v1/chat/completions"],
      [ids[2], 499, "/v1/chat/completions"],
      [ids[3], 404, "/none"],
    ]);
  const { usage } = whole.data;
  expect(records[0]).toMatchObject({ promptTokens: usage!.prompt_tokens, answerTokens: usage!.completion_tokens });
  expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ answered: 1, refused: 1 });
  expect(await raw(port, "what?\r\n\r\n")).toMatch(/x-request-id: req_[0-9a-f]{32}\r\n/i);
});

test("a token, where one is asked for", async () => {
  const { url, client, post } = await start({ token: "s3cret" });
  expect((await client.models.list()).data).toHaveLength(1);
  for (const apiKey of ["wrong", "s3cre", "s3cret2"]) {
    const other = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
    expect(await failure(other.models.list())).toBeInstanceOf(AuthenticationError);
  }
  expect((await post("{}")).status).toBe(401);
  expect((await fetch(`${url}/health`)).status).toBe(200);
});

test("pictures that are none, that are bombs, or that are broken are refused", async () => {
  const { client } = await start({ maxImagePixels: 42 * 42 * 2 });
  const bomb = await sharp({ create: { width: 12_000, height: 12_000, channels: 3, background: "red" } })
    .png()
    .toBuffer();
  const ask = (bytes: Buffer, count = 1) => {
    const url = `data:image/png;base64,${bytes.toString("base64")}`;
    const content = Array.from({ length: count }, () => ({ type: "image_url" as const, image_url: { url } }));
    return client.chat.completions.create({ ...greedy, messages: [{ role: "user", content }] });
  };
  expect((await ask(png, 2)).choices).toHaveLength(1);
  const refused: [Buffer, number, string][] = [
    [bomb, 1, "image_too_large"],
    [png, 3, "image_too_large"], // together
    [png.subarray(0, png.length / 2), 1, "invalid_image"],
    [Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"), 1, "invalid_image"],
    [Buffer.alloc(0), 1, "invalid_image"],
  ];
  for (const [bytes, count, code] of refused) {
    const error = await failure(ask(bytes, count));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error.code).toBe(code);
  }
});

test("a body that is too large, one that does not arrive, and no HTTP at all", async () => {
  const { post, port, client } = await start({ maxBodyBytes: 20_000, arrivalTimeoutSeconds: 0.3 });
  const large = await post(JSON.stringify({ ...greedy, messages: [{ role: "user", content: "x".repeat(30_000) }] }));
  expect(large.status).toBe(413);
  expect(await large.json()).toMatchObject({ error: { code: "request_too_large" } });
  const head =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n";
  expect(await raw(port, `${head}\r\n{"model":`)).toMatch(/^HTTP\/1\.1 408 .*did not arrive in time/s);
  expect(await raw(port, head)).toMatch(/^HTTP\/1\.1 408 /);
  expect(await raw(port, "what?\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 .*"error"/s);
  expect((await client.chat.completions.create({ ...greedy, messages: shows(dataUrl) })).choices).toHaveLength(1);
});

test("connections that send headers alone shut nobody out", async () => {
  const { client, port } = await start({ maxRequests: 4 });
  const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";
  const sockets = Array.from({ length: 20 }, () => connect(port, "127.0.0.1"));
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  for (const socket of sockets) socket.write(`${head}Content-Length: 900\r\n\r\n{`);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect((await client.chat.completions.create({ ...greedy, messages: shows(dataUrl) })).choices).toHaveLength(1);
  for (const socket of sockets) socket.destroy();
});

test("requests whose pictures exceed the budget together are answered one after the other", async () => {
  const { client } = await start({ maxImagePixels: 42 * 42 });
  const ask = (seed: number) =>
    client.chat.completions.create({ ...greedy, messages: shows(dataUrl, `Which? ${seed}`) });
  for (const { choices } of await Promise.all([1, 2, 3, 4, 5].map(ask))) expect(choices).toHaveLength(1);
});

test("a client that leaves frees its place, streaming or not", async () => {
  const { client, engine, url } = await start();
  const messages = [{ role: "user" as const, content: "Go on." }];
  const long = { model: "hf-llava-tiny", max_tokens: 150, messages };
  const stream = await client.chat.completions.create({ ...long, stream: true });
  for await (const _ of stream) break;
  const abort = new AbortController();
  const whole = client.chat.completions.create(long, { signal: abort.signal });
  setTimeout(() => abort.abort(), 30);
  await expect(whole).rejects.toThrow();
  await expect.poll(() => engine.pending).toBe(0);
  await expect.poll(async () => ((await (await fetch(`${url}/health`)).json()) as { open: number }).open).toBe(0);
  expect((await client.chat.completions.create({ ...greedy, messages })).choices).toHaveLength(1);
});

test("what takes too long is ended", async () => {
  const { client, engine } = await start({ requestTimeoutSeconds: 0.05 });
  const long = { model: "hf-llava-tiny", max_tokens: 150, messages: [{ role: "user" as const, content: "Go on." }] };
  expect((await failure(client.chat.completions.create({ ...long, n: 8 }))).status).toBe(504);
  const stream = await client.chat.completions.create({ ...long, n: 8, stream: true });
  const read = async () => {
    for await (const _ of stream);
  };
  await expect(read()).rejects.toThrow(/no answer within 0.05 s/);
  await expect.poll(() => engine.pending).toBe(0);
});

test("many at once are all answered; more than may wait are told so", async () => {
  const { client } = await start({}, { maxRunning: 8 });
  const all = Array.from({ length: 40 }, (_, index) =>
    client.chat.completions.create({ ...greedy, messages: shows(dataUrl, `Question ${index}`) }),
  );
  for (const answer of await Promise.all(all)) expect(answer.choices[0]!.finish_reason).toBeTruthy();

  const { client: narrow } = await start({ maxRequests: 2 });
  const many = Array.from({ length: 8 }, () =>
    narrow.chat.completions.create({ ...greedy, max_tokens: 50, messages: shows(dataUrl) }),
  );
  const outcomes = await Promise.allSettled(many);
  const refused = outcomes.filter((outcome) => outcome.status === "rejected").map(({ reason }) => reason);
  expect(refused.length).toBeGreaterThan(0);
  expect(refused.length).toBeLessThan(8);
  for (const error of refused) expect(error).toBeInstanceOf(RateLimitError);
});

test("closing finishes what runs and refuses what comes", async () => {
  const { client, app, engine } = await start();
  const stream = await client.chat.completions.create({
    ...{ model: "hf-llava-tiny", max_tokens: 100, messages: [{ role: "user", content: "Go on." }], stream: true },
  });
  const text: string[] = [];
  let closed: Promise<unknown> | undefined;
  for await (const chunk of stream) {
    text.push(chunk.choices[0]?.delta.content ?? "");
    closed ??= app.close();
    if (chunk.choices[0]?.finish_reason) expect(["stop", "length"]).toContain(chunk.choices[0].finish_reason);
  }
  await closed;
  expect(text.length).toBeGreaterThan(2);
  expect(engine.pending).toBe(0);
  await expect(client.models.list()).rejects.toThrow();
});

test("an error of the program is told without its details", async () => {
  const { client, engine, failures } = await start();
  engine.ask = () => {
    throw new TypeError("undefined is no function, in /secret/place");
  };
  const error = await failure(client.chat.completions.create({ ...greedy, messages: shows(dataUrl) }));
  expect(error.status).toBe(500);
  expect(error.message).not.toContain("secret");
  expect(failures).toHaveLength(1);
});
