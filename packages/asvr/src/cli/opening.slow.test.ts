import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { beforeAll, expect, test } from "vitest";
import { tinyFolder } from "../chat/fixture.js";
import { asvr, temporaryFolder } from "./fixture.js";

// How a checkpoint is opened can be said to every command that asks one.

const root = temporaryFolder();
/** llama.cpp's files of a model that names no chat template: it cannot be asked before somebody says one. */
const nameless = join(root, "nameless");
const picture = join(root, "picture.png");
const questions = join(root, "questions.json");

beforeAll(async () => {
  const folder = join(root, "folder");
  cpSync(tinyFolder, folder, { recursive: true });
  for (const name of ["chat_template.jinja", "chat_template.json"]) rmSync(join(folder, name), { force: true });
  const exported = await asvr("export", "gguf", folder, "--out", nameless);
  expect(exported.status, exported.stderr).toBe(0);
  await sharp({ create: { width: 42, height: 42, channels: 3, background: "#3a7" } }).toFile(picture);
  const turns = [
    { from: "human", value: "<image>\nwhat ?" },
    { from: "gpt", value: "a" },
  ];
  writeFileSync(questions, JSON.stringify([{ id: "one", image: "picture.png", conversations: turns }]));
}, 60_000);

const commands = {
  "eval --data": ["eval", nameless, "--data", questions, "--images", root, "--max-new-tokens", "2"],
  "eval --benchmarks": [
    ...["eval", nameless, "--benchmarks", "mme", "--limit", "2", "--max-answer", "2"],
    ...["--data", fileURLToPath(new URL("../../fixtures/benchmarks", import.meta.url))],
  ],
  attention: ["attention", nameless, "--image", picture, "--question", "what ?", "--max-new-tokens", "2"],
};

test.each(Object.entries(commands))(
  "%s is told the template",
  async (name, command) => {
    const out = name.startsWith("eval") ? ["--out", join(root, name)] : [];
    const without = await asvr(...command, ...out);
    expect(without).toMatchObject({ status: 2, stderr: expect.stringContaining("has no chat template") });
    const told = await asvr(...command, ...out, "--template", "vicuna", "--dtype", "bfloat16", "--threads", "1");
    expect(told.status, told.stderr).toBe(0);
  },
  60_000,
);

test("an endpoint opens its model itself", async () => {
  const endpoint = ["--endpoint", "http://localhost:9/v1", "--model", "one", "--dtype", "bfloat16"];
  const { status, stderr } = await asvr("eval", "--benchmarks", "mme", "--data", root, ...endpoint);
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining("leave out --dtype, --template") });
});
