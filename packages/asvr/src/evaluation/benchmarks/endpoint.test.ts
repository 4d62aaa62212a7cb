import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Answer, AnswerRequest } from "./answerer.js";
import { type EndpointOptions, endpointAnswerer } from "./endpoint.js";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Body {
  model: string;
  temperature: number;
  max_tokens: number;
  messages: { content: { type: string; text?: string; image_url?: { url: string } }[] }[];
}

/** A server whose answer to a request is what `handle` says; options of an answerer that asks it. */
async function serve(
  handle: (body: Body, response: ServerResponse, request: IncomingMessage) => void,
): Promise<EndpointOptions> {
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => {
      text += chunk;
    });
    request.on("end", () => handle(JSON.parse(text) as Body, response, request));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`, model: "m", backoffSeconds: 0.01 };
}

const reply = (response: ServerResponse, content: string | null) =>
  response.end(JSON.stringify({ choices: [{ message: { content } }] }));

const png = Buffer.from("\x89PNG\r\n\x1a\nrest", "latin1");
const request = (id: string): AnswerRequest => ({
  id,
  prompt: `<image>\n${id}?`,
  pictures: [{ key: "k", bytes: async () => png }],
  maxNewTokens: 32,
});
const requests = Array.from({ length: 9 }, (_, index) => request(`q${index}`));

async function all(options: EndpointOptions, signal?: AbortSignal): Promise<Record<string, string>> {
  const answers: Record<string, string> = {};
  for await (const { id, text } of endpointAnswerer(options).answer(requests, signal)) answers[id] = text;
  return answers;
}

test("asks greedily, with the picture before the text and the key as a bearer token", async () => {
  const bodies: Body[] = [];
  const options = await serve((body, response, { url, headers }) => {
    bodies.push(body);
    expect([url, headers.authorization]).toEqual(["/v1/chat/completions", "Bearer secret"]);
    reply(response, `to ${body.messages[0]!.content.at(-1)!.text}`);
  });
  const answers = await all({ ...options, apiKey: "secret" });
  expect(answers).toEqual(Object.fromEntries(requests.map(({ id }) => [id, `to ${id}?`])));
  expect(bodies[0]).toMatchObject({ model: "m", temperature: 0, max_tokens: 32 });
  const [image, text] = bodies[0]!.messages[0]!.content;
  expect(image!.image_url!.url).toBe(`data:image/png;base64,${png.toString("base64")}`);
  expect(text!.text).toBe("q0?");
});

test("never more requests at once than allowed", async () => {
  let open = 0;
  let most = 0;
  const options = await serve((_body, response) => {
    most = Math.max(most, ++open);
    setTimeout(() => {
      open--;
      reply(response, "x");
    }, 20);
  });
  await all({ ...options, concurrency: 3 });
  expect(most).toBe(3);
});

test("what may pass is tried again: overload, errors of the server, silence", async () => {
  const tries = new Map<string, number>();
  const options = await serve((body, response) => {
    const id = body.messages[0]!.content.at(-1)!.text!;
    const count = (tries.get(id) ?? 0) + 1;
    tries.set(id, count);
    if (id === "q0?" && count === 1) response.writeHead(429, { "retry-after": "0.05" }).end("slow down");
    else if (id === "q1?" && count < 3) response.writeHead(503).end();
    else if (id === "q2?" && count === 1) response.destroy();
    else if (id === "q3?" && count === 1)
      return; // no answer in time
    else reply(response, null);
  });
  const answers = await all({ ...options, timeoutSeconds: 0.5 });
  expect(Object.values(answers)).toEqual(requests.map(() => ""));
  expect(["q0?", "q1?", "q2?", "q3?", "q4?"].map((id) => tries.get(id))).toEqual([2, 3, 2, 2, 1]);
});

test("what cannot pass is said, with the question", async () => {
  let asked = 0;
  const refuse = await serve((_body, response) => {
    asked++;
    response.writeHead(401).end("no such key");
  });
  await expect(all({ ...refuse, concurrency: 1 })).rejects.toThrow(/question q0: status 401: no such key$/);
  expect(asked).toBe(1);
  const broken = await serve((_body, response) => response.writeHead(500).end("broken"));
  await expect(all({ ...broken, retries: 2 })).rejects.toThrow(/status 500: broken after 3 attempts/);
  const strange = await serve((_body, response) => response.end('{"choices":[]}'));
  await expect(all(strange)).rejects.toThrow("no choices[0].message.content");
});

test("a question that the server does not take is refused, and the others are answered", async () => {
  const told = [
    { status: 400, error: { code: "context_length_exceeded", message: "too many tokens" } },
    { status: 400, error: { code: null, message: "This model's maximum context length is 2048 tokens." } },
    { status: 413, error: { code: null, message: "the body is too large" } },
  ];
  const options = await serve((body, response) => {
    const at = requests.findIndex(({ id }) => body.messages[0]!.content.at(-1)!.text === `${id}?`);
    const failure = told[at];
    if (!failure) return reply(response, "yes");
    response.writeHead(failure.status).end(JSON.stringify({ error: failure.error }));
  });
  const answers: Answer[] = [];
  for await (const answer of endpointAnswerer(options).answer(requests)) answers.push(answer);
  answers.sort((a, b) => (a.id < b.id ? -1 : 1));
  expect(answers.slice(0, 3)).toEqual(
    told.map(({ error }, at) => ({ id: `q${at}`, text: "", refused: error.message })),
  );
  expect(answers.slice(3)).toEqual(requests.slice(3).map(({ id }) => ({ id, text: "yes" })));
});

/** What a question came to when the server said this about the third of nine, and "yes" to the others. */
async function third(status: number, body: unknown): Promise<Answer> {
  const options = await serve((asked, response) => {
    if (asked.messages[0]!.content.at(-1)!.text !== "q2?") return reply(response, "yes");
    response.writeHead(status).end(JSON.stringify(body));
  });
  const answers: Answer[] = [];
  for await (const answer of endpointAnswerer({ ...options, retries: 0 }).answer(requests)) answers.push(answer);
  expect(answers.length).toBe(requests.length);
  return answers.find(({ id }) => id === "q2")!;
}

test("a picture that a server cannot read is refused in its words", async () => {
  const words = ["Failed to load image or audio file", "Failed to load image: cannot identify image file"];
  for (const message of words) {
    expect(await third(400, { error: { code: 400, message } })).toEqual({ id: "q2", text: "", refused: message });
  }
  const string = await third(400, { error: "Could not process image" });
  expect(string.refused).toBe("Could not process image");
  const contextSize = { error: { code: 400, type: "exceed_context_size_error", message: "too much" } };
  expect((await third(400, contextSize)).refused).toBe("too much");
});

test("an unknown reason is about the question where others are answered, and about all where none is", async () => {
  const message = "mm_processor said no";
  expect((await third(400, { error: { message } })).refused).toBe(message);
  expect((await third(422, { message })).refused).toBe(message);
  let asked = 0;
  const options = await serve((_body, response) => {
    asked++;
    response.writeHead(400).end(JSON.stringify({ error: { message: "Unsupported parameter: max_tokens" } }));
  });
  const many = { ...options, concurrency: 1 };
  await expect(all(many)).rejects.toThrow(/question q0: status 400: .*Unsupported parameter: max_tokens/);
  expect(asked).toBe(8);
});

test("content as parts is read, and what is no answer is named", async () => {
  const said = (message: object, finish_reason = "stop") => third(200, { choices: [{ message, finish_reason }] });
  const parts = [
    { type: "text", text: "y" },
    { type: "text", text: "es" },
  ];
  expect(await said({ content: parts })).toEqual({ id: "q2", text: "yes" });
  expect((await said({ content: null, refusal: "I can't" }, "content_filter")).refused).toBe(
    "the model refused: I can't",
  );
  expect((await said({ content: null }, "content_filter")).refused).toMatch(/content filter/);
  expect((await said({ content: null, reasoning_content: "hm" }, "length")).refused).toMatch(
    /reasoning alone \(finish_reason length\)/,
  );
  expect(await said({ content: "" })).toEqual({ id: "q2", text: "" });
});

test("an error that a gateway sends with status 200 is tried again", async () => {
  let tries = 0;
  const options = await serve((_body, response) => {
    if (tries++ === 0) response.end(JSON.stringify({ error: { message: "Provider returned error", code: 502 } }));
    else reply(response, "yes");
  });
  expect(Object.values(await all({ ...options, concurrency: 1 }))).toEqual(requests.map(() => "yes"));
  expect(tries).toBe(10);
});

test("a signal ends it at once", async () => {
  const options = await serve(() => {}); // never answers
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 50);
  const started = performance.now();
  await expect(all(options, stop.signal)).rejects.toThrow(/abort/i);
  expect(performance.now() - started).toBeLessThan(5000);
});
