import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { afterAll, describe, expect, test } from "vitest";
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

/** Somebody at a terminal: asks twice, ends both answers with Ctrl-C, and leaves with a third one. */
const typist = String.raw`
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
told, place = b"", 0
def more():
    global told
    told += os.read(terminal, 4096)
def wait(text):
    global place
    while text not in told[place:]: more()
    place = told.index(text, place) + len(text)
for question in (b"Hello?", b"And then?"):
    wait(b"\x1b[0J> ")
    os.write(terminal, question + b"\r")
    wait(question)
    while len(told) < place + 200: more()
    os.write(terminal, b"\x03")
wait(b"\x1b[0J> ")
os.write(terminal, b"\x03")
print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

describe("Ctrl-C", () => {
  // A model that would talk for minutes.
  const talker = mkdtempSync(join(tmpdir(), "asvr-talker-"));
  afterAll(() => rmSync(talker, { recursive: true }));
  cpSync(tinyFolder, talker, { recursive: true });
  const file = join(talker, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8")) as { text_config: object };
  config.text_config = { ...config.text_config, max_position_embeddings: 1_000_000, eos_token_id: null };
  writeFileSync(file, JSON.stringify(config));
  rmSync(join(talker, "generation_config.json"), { force: true });
  const chat = [bin, "chat", talker, "--max-new-tokens", "500000"];

  test("ends an answer that was asked for once, with status 130", async () => {
    const child = spawn(process.execPath, [...chat, "--prompt", "Hello?"]);
    child.stdout.once("data", () => child.kill("SIGINT"));
    let complaints = "";
    child.stderr.on("data", (text) => {
      complaints += text;
    });
    expect([(await once(child, "close"))[0], complaints]).toEqual([130, ""]);
  });

  test("in a terminal ends the answer, and the conversation goes on; a second one leaves", async () => {
    const { status, stdout, stderr } = spawnSync("python3", ["-c", typist, process.execPath, ...chat], {
      encoding: "utf8",
      timeout: 60_000,
    });
    expect([status, stdout, stderr]).toEqual([0, "status 0\n", ""]);
  });
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
  const { url, ...said } = JSON.parse(told);
  const { model } = said;
  expect(said).toEqual({ model: "hf-llava-tiny", token: true, drawing: {} });
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
