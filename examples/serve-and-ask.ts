// Serves a model behind OpenAI's interface, and asks it with OpenAI's client, as a program in any language can.
//   node examples/dist/serve-and-ask.js MODEL PICTURE
// `asvr serve MODEL` is this server as a command, with its options.
import { readFile } from "node:fs/promises";
import { WorkerChat } from "asvr";
import { buildServer } from "asvr/serve";
import OpenAI from "openai";

const [path, picture] = process.argv.slice(2);
if (path === undefined || picture === undefined) throw new Error("usage: serve-and-ask MODEL PICTURE");

// The model computes in a thread of its own, so that this one goes on taking requests.
const chat = await WorkerChat.open(path);
const server = buildServer(chat);
try {
  const url = await server.listen({ host: "127.0.0.1", port: 0 }); // a free port
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });

  const { data: models } = await client.models.list();
  console.log(`serving ${models.map(({ id }) => id).join(", ")} at ${url}/v1`);

  const base64 = await readFile(picture, "base64");
  const stream = await client.chat.completions.create({
    model: models[0]!.id,
    messages: [
      {
        role: "user",
        content: [
          // The server looks at the bytes: what type a data URL names does not matter.
          { type: "image_url", image_url: { url: `data:image/png;base64,${base64}` } },
          { type: "text", text: "What is in the picture?" },
        ],
      },
    ],
    max_tokens: 32,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const { choices, usage } of stream) {
    process.stdout.write(choices[0]?.delta.content ?? "");
    if (usage) console.log(`\n${usage.prompt_tokens} tokens read, ${usage.completion_tokens} tokens answered`);
  }
} finally {
  await server.close(); // answers what has arrived
  await chat[Symbol.asyncDispose]();
}
