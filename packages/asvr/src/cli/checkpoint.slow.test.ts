import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { openWeights } from "@asvr/torch";
import { beforeAll, expect, test } from "vitest";
import { loadGgufLanguageModel } from "../checkpoints/gguf/language-model.js";
import { loadLlava } from "../checkpoints/llava.js";
import { asvr, readJson, temporaryFolder, writeSettings } from "./fixture.js";

// What is done with a trained run: exported, inspected, and refused where it is not whole.

const root = temporaryFolder();
const study = join(root, "study");
const run = join(study, "dual-s0");
beforeAll(async () => {
  const settings = writeSettings(root);
  const rows = ["--rows", "dual,llava-discrete"];
  const made = await asvr("reproduce", "table1", "--settings", settings, ...rows, "--out", study);
  expect(made.status, made.stderr).toBe(0);
}, 180_000);

test("export hf: a folder that loads, the visual heads beside it, a card with training and scores", async () => {
  const out = join(root, "hf");
  const { status, stdout, stderr } = await asvr("export", "hf", run, "--out", out, "--shard-size", "3", "--json");
  expect(status, stderr).toBe(0);
  const { files, parameters } = JSON.parse(stdout) as { files: string[]; parameters: number };
  expect(readdirSync(out).sort()).toEqual(files);
  expect(files).toContain("model.safetensors.index.json");
  using llava = loadLlava(out);
  expect(llava.parameterCount()).toBe(parameters);
  expect(readJson(out, "visual_head.json")).toMatchObject({
    supervision: "dual",
    heads: [{ target: "semantic" }, { target: "appearance" }],
  });
  using head = openWeights(join(out, "visual_head.safetensors"));
  expect([...head.entries.keys()].some((name) => name.startsWith("appearance."))).toBe(true);
  const card = readFileSync(join(out, "README.md"), "utf8");
  expect(card).toContain("| tuning | 4 | 8 | 0.001 | projector, visualHead, language | micro |");
  expect(card).toContain("Training is complete.");
  expect(card).toMatch(/\| test-seen \| \d+ \| 5 \| [\d.]+ \|/);
  expect(card).not.toContain(root);
  const again = await asvr("export", "hf", out, "--out", out);
  expect([again.status, again.stderr]).toEqual([2, expect.stringContaining("is not empty: name a new folder")]);
});

test("export gguf: a language model that loads, and its mmproj", async () => {
  const out = join(root, "gguf");
  const { status, stderr } = await asvr("export", "gguf", run, "--out", out, "--type", "f16");
  expect(status, stderr).toBe(0);
  expect(readdirSync(out).sort()).toEqual(["language-F16.gguf", "mmproj-F16.gguf"]);
  using language = loadGgufLanguageModel(join(out, "language-F16.gguf"));
  expect(language.config.numHiddenLayers).toBe(3);
  const inspected = await asvr("inspect", join(out, "mmproj-F16.gguf"), "--json");
  expect(JSON.parse(inspected.stdout).parts.map(({ part }: { part: string }) => part)).toEqual([
    "vision tower",
    "projector",
  ]);
  const wrong = await asvr("export", "gguf", run, "--out", join(root, "never"), "--type", "q4");
  expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining('--type is "Q4"; it must be F32 or F16')]);
});

test("inspect: a run, in words", async () => {
  const { status, stdout } = await asvr("inspect", run);
  expect(status).toBe(0);
  expect(stdout).toContain(`${run}: run of asvr\n`);
  expect(stdout).toMatch(/checkpoint\s+tuning-step-0000004, the newest that is whole/);
  for (const part of ["language model", "visual head", "projector", "together"]) {
    expect(stdout).toMatch(new RegExp(`^  ${part} +\\d+ +[\\d,]+ +[\\d.]+ [kM]?B`, "m"));
  }
});

test("what can't be exported leaves nothing, and says why", async () => {
  const out = join(root, "refused");
  const damaged = (name: string, damage: (checkpoint: string) => void) => {
    const copy = join(root, name);
    cpSync(study, copy, { recursive: true });
    damage(join(copy, "dual-s0", "checkpoints", "tuning-step-0000004"));
    return join(copy, "dual-s0");
  };
  const cases: [run: string, status: number, message: string][] = [
    [join(study, "llava-discrete-s0"), 2, "embeddings of discrete codes"],
    [root, 2, "is neither the folder of a run (recipe.json) nor one of Hugging Face's (config.json)"],
    [damaged("no-manifest", (at) => rmSync(join(at, "manifest.json"))), 1, "has no manifest.json: it is not whole"],
    [damaged("cut", (at) => truncateSync(join(at, "model.safetensors"), 5000)), 1, "the manifest says"],
    [damaged("missing", (at) => rmSync(join(at, "random.safetensors"))), 1, "is missing, but the manifest names it"],
    [damaged("untrained", (at) => rmSync(join(at, ".."), { recursive: true })), 2, "has no checkpoint yet"],
  ];
  for (const [source, status, message] of cases) {
    const refused = await asvr("export", "hf", source, "--out", out);
    expect([refused.status, refused.stderr]).toEqual([status, expect.stringContaining(message)]);
  }
  expect(existsSync(out)).toBe(false);
  expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
});
