import type OpenAI from "openai";
import { APIError } from "openai";
import sharp from "sharp";
import { expect, test } from "vitest";
import { noise } from "../chat/fixture.js";
import { start } from "./fixture.js";

const { width, height, data } = noise(1);
const png = await sharp(data, { raw: { width, height, channels: 3 } })
  .png()
  .toBuffer();
const url = `data:image/png;base64,${png.toString("base64")}`;
const model = "hf-llava-tiny";
const shows: OpenAI.Responses.ResponseInput = [
  {
    role: "user",
    content: [
      { type: "input_image", image_url: url, detail: "auto" },
      { type: "input_text", text: "Which is the cat?" },
    ],
  },
];

/** The same question as a chat completion. */
async function completed(client: OpenAI) {
  const content = [
    { type: "image_url" as const, image_url: { url } },
    { type: "text" as const, text: "Which is the cat?" },
  ];
  const messages = [
    { role: "system" as const, content: "Be brief." },
    { role: "user" as const, content },
  ];
  return client.chat.completions.create({ model, temperature: 0, max_tokens: 6, messages });
}

const asked = { model, temperature: 0, max_output_tokens: 6, instructions: "Be brief.", input: shows };

test("a response says what a chat completion does, in the newer interface's words", async () => {
  const { client } = await start();
  const { choices, usage } = await completed(client);
  const response = await client.responses.create(asked);
  expect(response.output_text).toBe(choices[0]!.message.content);
  expect(response).toMatchObject({ object: "response", model, status: "incomplete", store: false, temperature: 0 });
  expect(response.incomplete_details).toEqual({ reason: "max_output_tokens" });
  expect(response.usage).toMatchObject({ input_tokens: usage!.prompt_tokens, output_tokens: 6 });
  // What was answered goes in again, as clients keep it.
  const input = [
    ...shows,
    ...(response.output as OpenAI.Responses.ResponseInput),
    { role: "user" as const, content: "And?" },
  ];
  expect((await client.responses.create({ ...asked, input })).usage!.input_tokens).toBeGreaterThan(
    usage!.prompt_tokens,
  );
});

test("a response is streamed in events that follow each other", async () => {
  const { client } = await start();
  const whole = await client.responses.create(asked);
  const events: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of await client.responses.create({ ...asked, stream: true })) events.push(event);
  expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
  const kinds = events
    .map(({ type }) => type.replace("response.", ""))
    .filter((type, index, all) => type !== all[index - 1]);
  expect(kinds).toEqual([
    ...["created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done"],
    ...["content_part.done", "output_item.done", "incomplete"],
  ]);
  const deltas = events.map((event) => (event.type === "response.output_text.delta" ? event.delta : ""));
  expect(deltas.join("")).toBe(whole.output_text);
  expect(events.at(-1)).toMatchObject({ response: { output: [{ content: [{ text: whole.output_text }] }] } });
  const streamed = await client.responses.stream(asked).finalResponse();
  expect(streamed.output_text).toBe(whole.output_text);
});

test("what is kept nowhere, or done nowhere, is refused with what to do", async () => {
  const { client } = await start();
  const cases: [object, string, RegExp][] = [
    [{ previous_response_id: "resp_1" }, "previous_response_id", /send the whole conversation as input/],
    [{ tools: [{ type: "web_search" }] }, "tools", /tools is not supported/],
    [{ text: { format: { type: "json_object" } } }, "text", /text is not supported/],
    [{ background: true }, "background", /not supported/],
    [{ input: [{ type: "function_call", name: "f" }] }, "input.0.role", /role/],
    [{ input: [{ role: "user", content: [{ type: "input_file" }] }] }, "input.0.content.0.type", /type/],
    [
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "http://x/y.png" }] }] },
      "input.0.content.0.image_url",
      /http: is not fetched/,
    ],
  ];
  for (const [change, param, message] of cases) {
    const error = await client.responses.create({ ...asked, ...change, stream: false }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ status: 400, param, message: expect.stringMatching(message) });
  }
});

test("a stream that fails says so as its last event", async () => {
  const { client } = await start({ requestTimeoutSeconds: 0.05 });
  const long = { model, input: "Go on.", max_output_tokens: 200, stream: true as const };
  const events = [];
  for await (const event of await client.responses.create(long)) events.push(event);
  expect(events.at(-1)).toMatchObject({
    type: "response.failed",
    response: { status: "failed", error: { code: "timeout" } },
  });
});
