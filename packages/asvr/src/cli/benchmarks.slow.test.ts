import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FakeHub } from "../checkpoints/hub/hub.fixture.js";
import type { BenchmarkScore } from "../evaluation/benchmarks/score.js";
import { startAsvr, temporaryFolder } from "./fixture.js";

const root = temporaryFolder();
const data = fileURLToPath(new URL("../../fixtures/benchmarks", import.meta.url));

/** Says A to multiple choice and Yes to all else; slowly, where the question is about a towel. */
const server = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => {
    body += chunk;
  });
  request.on("end", () => {
    const { messages } = JSON.parse(body) as { messages: { content: { text?: string }[] }[] };
    const text = messages[0]!.content.at(-1)!.text!;
    const content = text.includes("student") ? "Correct" : text.includes("option's letter") ? "A" : "Yes";
    const answer = JSON.stringify({ choices: [{ message: { content } }] });
    setTimeout(() => response.end(answer), text.includes("towels") ? 700 : 0);
  });
});
let endpoint: string[];
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endpoint = ["--endpoint", `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, "--model", "yes/man"];
});
afterAll(() => server.close());

/** Neither asking an endpoint nor scoring needs libtorch. */
const asvr = (...args: string[]) =>
  startAsvr(args, { cwd: root, env: { ...process.env, ASVR_CACHE: join(root, "no-cache") } });

/** Nobody listens there. */
const endpointOf = (model: string) => ["--endpoint", "http://localhost:9", "--model", model];

const outcome = (...args: string[]) => asvr(...args).ended;

test("all benchmarks are asked, scored, scored again by other rules, compared and exported", async () => {
  const asked = await outcome("eval", "--benchmarks", "all", "--data", data, ...endpoint);
  expect(asked.status, asked.stderr).toBe(0);
  expect(asked.stderr).toContain("lmms-lab/POPE, PARTIAL: 18 rows instead of 9000");
  const run = "runs/benchmarks/yes_man";
  expect(asked.stdout).toMatch(/POPE +50\.0\* +50\.0 to +50\.0 +85\.9 +86\.3/);
  expect(asked.stdout).toMatch(/AVG +\d+\.\d\* +\d+\.\d to +\d+\.\d\n/);

  const [told, wrote] = asked.stdout.split(/^(?=wrote )/m);
  expect(wrote).toMatch(/^wrote runs\/benchmarks\/yes_man: .*pope/);
  expect((await outcome("score", run)).stdout).toBe(told);
  const again = await outcome("score", run, "--protocol", "lmms-eval", "--json");
  const { scores } = JSON.parse(again.stdout).runs[0] as { scores: BenchmarkScore[] };
  expect(scores.map(({ benchmark }) => benchmark)).toHaveLength(14);
  const mme = scores.find(({ benchmark }) => benchmark === "mme")!;
  expect(mme.protocol).toBe("lmms-eval");
  expect(mme.value).toBeCloseTo(25, 9);

  const compared = await outcome("score", `${run}/pope/predictions.jsonl`, "--baseline", `${run}/pope`);
  expect(compared.stdout).toMatch(/baseline +50\.0 +difference \+0\.0 \(0\.0 to 0\.0\), p 1\.0\n/);
  const seeds = await outcome("score", `${run}/pope`, `${run}/pope`);
  expect(seeds.stdout).toMatch(/mean of 2 runs .*\npope +50\.0 +spread 0\.00/);
  const url = endpoint[1]!;
  const judged = await outcome("score", `${run}/hallusionbench`, `${run}/pope`, "--judge", url, "--judge-model", "y/m");
  expect(judged.status, judged.stderr).toBe(0);
  expect(judged.stdout).toMatch(/HallusionBench +100\.0\* .* by hallusion-judged\(y\/m\)/);
  expect(judged.stdout).toMatch(/POPE +50\.0\*/); // has no part for a judge
  const verdicts = readFileSync(join(root, run, "hallusionbench/judge.jsonl"), "utf8")
    .trimEnd()
    .split("\n");
  expect(verdicts).toHaveLength(12);
  expect(JSON.parse(verdicts[0]!)).toMatchObject({ judge: `y/m at ${url}`, reply: "Correct", verdict: "1" });
  const exported = await outcome("score", run, "--export", "lmms-eval", "--out", "logs");
  expect(exported.stdout).toContain("hallusion_bench_image.json  12 answers  (PARTIAL: 12 rows instead of 951)");
  expect(existsSync(join(root, "logs", "pope.json"))).toBe(true);
});

test("data come from the hub, by a benchmark's own id or another; offline it is said what is missing", async () => {
  const name = "data/test-00000-of-00001.parquet";
  const files = new Map([[name, readFileSync(join(data, "lmms-lab/POPE", name))]]);
  await using hub = await FakeHub.start({ id: "lmms-lab/POPE", commit: "0".repeat(40), isDataset: true, files });
  const env = { ...process.env, ASVR_CACHE: join(root, "no-cache"), HF_HUB_CACHE: join(root, "hub") };
  const ask = (source: string, more: NodeJS.ProcessEnv) =>
    startAsvr(["eval", "--benchmarks", "pope", "--data", source, ...endpoint, "--out", "from-hub"], {
      cwd: root,
      env: { ...env, ...more },
    }).ended;
  const offline = await ask("hub", { HF_HUB_OFFLINE: "1" });
  expect(offline).toMatchObject({ status: 2, stderr: expect.stringContaining("HF_HUB_OFFLINE forbids to fetch it") });
  const asked = await ask("hub", { HF_ENDPOINT: hub.url });
  expect(asked.status, asked.stderr).toBe(0);
  expect(asked.stderr).toContain("datasets--lmms-lab--POPE/snapshots/0000");
  expect(asked.stdout).toMatch(/POPE +50\.0\*/);
  const again = await ask("lmms-lab/POPE@main", { HF_HUB_OFFLINE: "1" });
  expect(again).toMatchObject({ status: 0, stdout: asked.stdout });
});

test("killed in the middle, the same call asks what is left", async () => {
  const call = ["eval", "--benchmarks", "seed", "--data", data, ...endpoint, "--out", "killed", "--concurrency", "1"];
  const file = join(root, "killed/seed/predictions.jsonl");
  const answers = () => (existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").filter(Boolean) : []);
  const first = asvr(...call);
  while (answers().length < 2) await new Promise((resolve) => setTimeout(resolve, 50));
  process.kill(first.pid, "SIGKILL");
  await first.ended;
  const before = answers();
  expect(before.length).toBeLessThan(9);
  const second = await outcome(...call);
  expect(second.status, second.stderr).toBe(0);
  expect(answers().slice(0, before.length)).toEqual(before);
  expect(new Set(answers().map((line) => JSON.parse(line).id)).size).toBe(9);
  expect(second.stdout).toMatch(/SEED-Image +33\.3/);
});

test.each<[string, string[], string]>([
  ["no data", ["eval", "--benchmarks", "pope"], "--benchmarks needs --data"],
  ["an id for several", ["eval", "--benchmarks", "all", "--data", "a/b", ...endpointOf("m")], "name one benchmark"],
  ["an unknown benchmark", ["eval", "--benchmarks", "nope", "--data", data], "there are textvqa, docvqa"],
  ["nobody to ask", ["eval", "--benchmarks", "pope", "--data", data], "give a checkpoint, or --endpoint URL"],
  ["two to ask", ["eval", "run", "--benchmarks", "pope", "--data", data, ...endpointOf("m")], "one of them answers"],
  ["no model", ["eval", "--benchmarks", "pope", "--data", data, "--endpoint", "http://localhost"], "needs --model"],
  ["no URL", ["eval", "--benchmarks", "pope", "--data", data, "--endpoint", "x", "--model", "m"], "is no URL"],
  ["a strange shard", ["eval", "--shard", "4/4"], "it must be i/n"],
  [
    "other words that are none",
    ["eval", "--benchmarks", "pope", "--data", data, "--prompts", "llava"],
    "--prompts llava",
  ],
  ["no such run", ["score", "nowhere"], "nowhere does not exist"],
  ["a judge without a name", ["score", data, "--judge", "http://localhost:9"], "--judge needs --judge-model"],
  [
    "a judge and another protocol",
    ["score", data, "--judge", "http://localhost:9", "--judge-model", "m", "--protocol", "lmms-eval"],
    "leave --protocol out",
  ],
  ["no predictions", ["score", data], "has neither predictions.jsonl"],
  ["an export without a folder", ["score", data, "--export", "lmms-eval"], "has neither predictions.jsonl"],
])("a wrong call ends with 2: %s", async (_, args, message) => {
  const { status, stderr } = await outcome(...args);
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});
