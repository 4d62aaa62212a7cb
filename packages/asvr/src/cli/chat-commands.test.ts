import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { tinyFolder } from "../chat/fixture.js";
import { asvr } from "./fixture.js";

const picture = join(tinyFolder, "..", "..", "images", "rgb_120x90.png");
const bin = fileURLToPath(new URL("../../bin/asvr.js", import.meta.url));

test("asks once: the answer alone on standard output, or with counts as JSON", async () => {
  const args = ["chat", tinyFolder, "--image", picture, "--prompt", "What is it?", "--max-new-tokens", "6"];
  const [plain, json] = await Promise.all([asvr(...args), asvr(...args, "--json")]);
  expect([plain.status, plain.stderr, json.status]).toEqual([0, "", 0]);
  const { answer, reason, answerTokens, image } = JSON.parse(json.stdout);
  expect(plain.stdout).toBe(`${answer}\n`);
  expect({ reason, answerTokens, image }).toEqual({ reason: "length", answerTokens: 6, image: [picture] });
});

test("a conversation: pictures, a new beginning, what is not understood; it remembers what was said", async () => {
  const child = spawn(process.execPath, [bin, "chat", tinyFolder, "--max-new-tokens", "5"]);
  let told = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    told += text;
  });
  const lines = [
    "Hello?",
    `/image ${picture}`,
    "Hello?",
    "/reset",
    "Hello?",
    "/nope",
    "/image none.png",
    "/exit",
    "Hello?",
  ];
  child.stdin.end(`${lines.join("\n")}\n`);
  expect((await once(child, "close"))[0]).toBe(0);
  const replies = told.split("\n> ").map((reply) => reply.trim());
  const [first, , second, , third, unknown, missing] = replies.slice(1);
  expect(third).toBe(first);
  expect(second).not.toBe(first);
  expect(unknown).toBe("there is no /nope; there are /image FILE, /reset, /exit");
  expect(missing).toMatch(/none\.png.*missing-image/);
  expect(replies).toHaveLength(9); // nothing after /exit
});

test("serves OpenAI's client; a signal finishes the answers that run, and refuses what comes", async () => {
  const child = spawn(process.execPath, [bin, "serve", tinyFolder, "--port", "0", "--json"], {
    env: { ...process.env, ASVR_TOKEN: "secret" },
  });
  const ended = once(child, "close");
  let told = "";
  child.stderr.resume();
  for await (const data of child.stdout.setEncoding("utf8")) {
    told += data;
    if (told.endsWith("}\n")) break;
  }
  const { url, model, token } = JSON.parse(told);
  expect({ model, token }).toEqual({ model: "hf-llava-tiny", token: true });
  const client = new OpenAI({ baseURL: url, apiKey: "secret", maxRetries: 0 });
  const stream = await client.chat.completions.create({
    ...{ model, max_tokens: 100, messages: [{ role: "user", content: "Go on." }], stream: true },
  });
  let isStopping = false;
  let reason: string | null = null;
  for await (const { choices } of stream) {
    if (!isStopping) child.kill("SIGTERM");
    isStopping = true;
    reason = choices[0]!.finish_reason ?? reason;
  }
  expect(["stop", "length"]).toContain(reason);
  expect((await ended)[0]).toBe(0);
});

test.each<[string, string[], string]>([
  ["chat without a checkpoint", ["chat", "none"], "none does not exist"],
  ["JSON of a conversation", ["chat", tinyFolder, "--json"], "--json needs a --prompt"],
  ["no picture", ["chat", tinyFolder, "--image", "none.png", "--prompt", "x"], "--image none.png"],
  ["a temperature below zero", ["chat", tinyFolder, "--temperature", "-1"], "from 0 to 100"],
  ["an unknown dtype", ["chat", tinyFolder, "--dtype", "int4", "--prompt", "x"], '--dtype is "int4"'],
  ["a prompt that can't be said", ["chat", tinyFolder, "--prompt", "an <image>"], "can't be said as text"],
  ["a public host without a token", ["serve", tinyFolder, "--host", "0.0.0.0"], "give a --token"],
  ["an empty token", ["serve", tinyFolder, "--token", ""], "the token is empty"],
  ["a folder of files that is none", ["serve", tinyFolder, "--allow-files", picture], "is no folder"],
  ["a port that is none", ["serve", tinyFolder, "--port", "70000"], "from 0 to 65535"],
])("a wrong call ends with 2: %s", async (_, args, message) => {
  const { status, stderr } = await asvr(...args);
  expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
});
