import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { tinyFolder } from "../chat/fixture.js";
import { benchmarks } from "../evaluation/benchmarks/all.js";
import { readRun } from "../evaluation/benchmarks/run.js";
import type { BenchmarkScore } from "../evaluation/benchmarks/score.js";
import { asvr, readJson, startAsvr, temporaryFolder } from "./fixture.js";

const root = temporaryFolder();
const data = fileURLToPath(new URL("../../fixtures/benchmarks", import.meta.url));
const bin = fileURLToPath(new URL("../../bin/asvr.js", import.meta.url));

/** The tiny published folder, with another context: each benchmark's prompts fit in the longer one. */
function checkpoint(name: string, contextLength: number): string {
  const folder = join(root, name);
  cpSync(tinyFolder, folder, { recursive: true });
  const config = readJson<{ text_config: object }>(folder, "config.json");
  config.text_config = { ...config.text_config, max_position_embeddings: contextLength };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  return folder;
}
const roomy = checkpoint("roomy", 1024);

const common = ["--data", data, "--json"];
const answersIn = async (folder: string) => {
  const { predictions } = await readRun(folder);
  return predictions.map(({ id, answer, extracted, score, refused }) => ({ id, answer, extracted, score, refused }));
};
const out = (...parts: string[]) => join(root, ...parts);

const servers = new Set<ChildProcess>();
afterAll(() => {
  for (const server of servers) server.kill("SIGKILL");
});

/** A server of the checkpoint; it is ended with the tests of this file. */
async function serve(folder: string): Promise<{ url: string; model: string }> {
  const child = spawn(process.execPath, [bin, "serve", folder, "--port", "0", "--json"]);
  servers.add(child);
  child.stderr.resume();
  child.stdout.setEncoding("utf8");
  let told = "";
  while (!told.endsWith("}\n")) told += (await once(child.stdout, "data"))[0];
  return JSON.parse(told);
}

test("all fourteen, from file to final number: a checkpoint here answers as it does behind an endpoint", async () => {
  const asked = ["eval", "--benchmarks", "all", ...common, "--max-answer", "4"];
  const local = await asvr(...asked, roomy, "--out", out("local"));
  expect(local.status, local.stderr).toBe(0);
  const { url, model } = await serve(roomy);
  const remote = await asvr(...asked, "--endpoint", url, "--model", model, "--out", out("remote"));
  expect(remote.status, remote.stderr).toBe(0);

  const { scores, average } = JSON.parse(local.stdout) as { scores: BenchmarkScore[]; average: { value: number } };
  expect(JSON.parse(remote.stdout)).toMatchObject({ scores, average });
  expect(scores.map(({ benchmark }) => benchmark)).toEqual(benchmarks.map(({ name }) => name));
  for (const { benchmark, value, interval, questions, refused, deviations } of scores) {
    expect(Number.isFinite(value) && interval.every(Number.isFinite), benchmark).toBe(true);
    expect(refused).toEqual([]);
    expect(deviations).toEqual([expect.stringMatching(/^answers of at most 4 tokens instead of \d+$/)]);
    const answers = await answersIn(out("local", benchmark));
    expect(answers).toHaveLength(questions);
    expect(answers.filter(({ answer }) => answer !== "").length, benchmark).toBeGreaterThan(questions / 2);
    expect(await answersIn(out("remote", benchmark)), benchmark).toEqual(answers);
    expect(readJson(out("local", benchmark, "run.json"))).toMatchObject({ maxNewTokens: 4 });
  }
  // Said where people read it, too.
  const told = await asvr("score", out("local"));
  expect(told.stdout).toContain("* GQA deviates: answers of at most 4 tokens instead of 128\n");
  const otherLimit = await asvr("eval", "--benchmarks", "gqa", ...common, roomy, "--out", out("local"));
  expect(otherLimit).toMatchObject({ status: 2, stderr: expect.stringContaining("begun with maxNewTokens 4, not") });
});

test("a question longer than the context is refused with the reason, and the others are answered", async () => {
  const narrow = checkpoint("narrow", 200);
  const asked = ["eval", "--benchmarks", "mmbench", ...common, "--max-answer", "3"];
  const local = await asvr(...asked, narrow, "--out", out("narrow-local"));
  expect(local.status, local.stderr).toBe(0);
  expect(local.stderr).toMatch(/MMBench: done in .*, \d of 9 refused/);
  const [score] = JSON.parse(local.stdout).scores as BenchmarkScore[];
  expect(score!.questions).toBe(9);
  expect(score!.refused.length).toBeGreaterThan(0);
  expect(score!.refused.length).toBeLessThan(9);
  expect(score!.refused[0]!.why).toMatch(/the conversation has \d+ tokens, and the model reads 200/);
  const answers = await answersIn(out("narrow-local", "mmbench"));
  for (const { refused, answer, extracted, score } of answers) {
    if (refused !== undefined) expect({ answer, extracted, score }).toEqual({ answer: "", extracted: null, score: 0 });
  }
  const told = await asvr("score", out("narrow-local"));
  expect(told.stdout).toMatch(/! MMBench: \d questions were refused, and are wrong: \d+.*; \d+: the conversation has/);

  const { url, model } = await serve(narrow);
  const remote = await asvr(...asked, "--endpoint", url, "--model", model, "--out", out("narrow-remote"));
  expect(remote.status, remote.stderr).toBe(0);
  expect(await answersIn(out("narrow-remote", "mmbench"))).toEqual(answers);
});

test("killed in the middle, a local evaluation goes on: every question once, the same numbers; and in shards", async () => {
  // One at a time and long answers, so that there is a middle.
  const asked = ["eval", roomy, "--benchmarks", "mme", ...common, "--max-answer", "40"];
  const whole = await asvr(...asked, "--out", out("whole"));
  expect(whole.status, whole.stderr).toBe(0);

  const slow = [...asked, "--out", out("killed"), "--concurrency", "1"];
  const file = out("killed", "mme", "predictions.jsonl");
  const lines = () => (existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").filter(Boolean) : []);
  const first = startAsvr(slow);
  while (lines().length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  process.kill(first.pid, "SIGKILL");
  expect((await first.ended).status).toBe("SIGKILL");
  const before = lines();
  expect(before.length).toBeLessThan(56);
  const second = await asvr(...slow);
  expect(second.status, second.stderr).toBe(0);
  expect(lines().slice(0, before.length)).toEqual(before); // not asked again
  expect(await answersIn(out("killed", "mme"))).toEqual(await answersIn(out("whole", "mme")));
  expect(JSON.parse(second.stdout).scores).toEqual(JSON.parse(whole.stdout).scores);

  const shards = [0, 1, 2].map((index) => asvr(...asked, "--out", out("shards"), "--shard", `${index}/3`));
  for (const { status, stderr } of await Promise.all(shards)) expect(status, stderr).toBe(0);
  expect(await answersIn(out("shards", "mme"))).toEqual(await answersIn(out("whole", "mme")));
  const together = JSON.parse((await asvr("score", out("shards"), "--json")).stdout);
  expect(together.runs[0].scores).toEqual(JSON.parse(whole.stdout).scores);
}, 180_000);

test("a checkpoint that is none ends with 2", async () => {
  const { status, stderr } = await asvr("eval", "nowhere", "--benchmarks", "pope", ...common, "--out", out("nowhere"));
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining("nowhere does not exist") });
});
