import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ConfigError } from "../../errors.js";
import { benchmarkNamed } from "./all.js";
import type { Answerer } from "./answerer.js";
import { loadBenchmark } from "./data/load.js";
import { benchmarkFolder, recorder } from "./folder.fixture.js";
import { readPredictions } from "./predictions.js";
import { readRun, runBenchmark, shardOf } from "./run.js";
import { scoreBenchmark } from "./score.js";

const { path } = benchmarkFolder();
const load = (name: string) => loadBenchmark(benchmarkNamed(name), path("data"));
const yes = () => " Yes.\n";

test("every prompt, raw answer, extracted answer, gold and score is kept", async () => {
  const folder = path("kept");
  expect(await runBenchmark(await load("pope"), recorder(yes).answerer, { folder })).toBe(18);
  const [first] = await readPredictions(`${folder}/predictions.jsonl`);
  expect(first).toMatchObject({
    benchmark: "pope",
    id: "adversarial-1",
    place: 0,
    prompt: "<image>\nIs there a dog in the image?\nAnswer the question using a single word or phrase.",
    style: "default",
    group: "COCO_val2014_0",
    answer: "Yes.",
    extracted: "yes",
    gold: "Yes",
    score: 1,
  });
  expect(first!.picture).toMatch(/^[0-9a-f]{32}$/);
});

test("a picture's questions are asked together, with one picture in front unless all are wanted", async () => {
  const { answerer, calls } = recorder(yes);
  await runBenchmark(await load("pope"), answerer, { folder: path("together"), batch: 7 });
  expect(calls.map((requests) => requests.length)).toEqual([6, 6, 6]);
  for (const requests of calls) expect(new Set(requests.map(({ pictures }) => pictures[0]!.key)).size).toBe(1);

  const all = recorder(yes);
  await runBenchmark(await load("mmmu"), all.answerer, { folder: path("all"), style: "lmms-eval" });
  expect(all.asked().map(({ pictures }) => pictures.length)).toEqual([1, 2, 1, 2, 1, 2, 1, 2]);
  expect(all.asked()[1]!.prompt.startsWith("<image>\n<image>\n<image 1> Which law")).toBe(true);
  const first = recorder(yes);
  await runBenchmark(await load("mmmu"), first.answerer, { folder: path("first") });
  expect(first.asked().every(({ pictures, prompt }) => pictures.length === 1 && !prompt.includes("<image 1>"))).toBe(
    true,
  );
});

test("stopped and gone on, every question is answered once, and a torn line is asked again", async () => {
  const folder = path("resumed");
  const loaded = await load("chartqa");
  const stop = new AbortController();
  const { answerer, asked } = recorder(({ id }) => {
    if (id === "4") stop.abort();
    return "12";
  });
  await expect(runBenchmark(loaded, answerer, { folder, batch: 2, signal: stop.signal })).rejects.toThrow(/abort/i);
  expect(asked().map(({ id }) => id)).toEqual(["0", "1", "2", "3", "4", "5"]);
  appendFileSync(`${folder}/predictions.jsonl`, '{"benchmark":"chartqa","id":"5","pla');
  const again = recorder(() => "12");
  const seen: number[] = [];
  await runBenchmark(loaded, again.answerer, { folder, batch: 2, onProgress: ({ done }) => seen.push(done) });
  expect(again.asked().map(({ id }) => id)).toEqual(["5", "6", "7"]);
  expect(seen).toEqual([5, 6, 8, 8]);
  const whole = path("whole");
  await runBenchmark(loaded, recorder(() => "12", "other").answerer, { folder: whole });
  const strip = (predictions: { id: string; score: number | null }[]) =>
    predictions.map(({ id, score }) => [id, score]);
  expect(strip((await readRun(folder)).predictions)).toEqual(strip((await readRun(whole)).predictions));
  const nothing = recorder(yes);
  await runBenchmark(loaded, again.answerer, { folder });
  expect(nothing.asked()).toEqual([]);
});

test("answers given before a failure are kept", async () => {
  const folder = path("failed");
  const loaded = await load("ai2d");
  const failing = recorder(({ id }) => {
    if (id === "3") throw new Error("the machine is on fire");
    return "A";
  });
  await expect(runBenchmark(loaded, failing.answerer, { folder })).rejects.toThrow("on fire");
  const { predictions, missing } = await readRun(folder);
  expect(predictions.map(({ id }) => id)).toEqual(["0", "1", "2"]);
  expect(missing).toEqual(["8 rows instead of 3088", "5 questions are not answered yet"]);
  const score = scoreBenchmark(predictions, "default", missing);
  expect(score.partial).toEqual(missing);
});

test("a question that is refused is kept with the reason, worth nothing by every protocol, and not asked again", async () => {
  const loaded = await load("pope");
  const refused = "the conversation has 300 tokens, and the model reads 256 with its answer";
  const picky = (reached: string[]): Answerer => ({
    name: "picky",
    async *answer(requests) {
      for (const { id } of requests) {
        reached.push(id);
        yield id.endsWith("-2") ? { id, text: "", refused } : { id, text: "No" };
      }
    },
  });
  const folder = path("refused");
  const seen: number[] = [];
  const first: string[] = [];
  await runBenchmark(loaded, picky(first), { folder, onProgress: (progress) => seen.push(progress.refused) });
  expect([first.length, seen.at(-1)]).toEqual([18, 3]);
  const again: string[] = [];
  await runBenchmark(loaded, picky(again), { folder, onProgress: (progress) => seen.push(progress.refused) });
  expect([again.length, seen.at(-1)]).toEqual([0, 3]);

  const { predictions } = await readRun(folder);
  const [one] = predictions.filter(({ id }) => id === "popular-2");
  expect(one).toMatchObject({ answer: "", refused, extracted: null, score: 0, gold: "No" });
  for (const protocol of ["default", "llava"]) {
    const score = scoreBenchmark(predictions, protocol);
    expect(score.refused).toEqual(
      ["adversarial", "popular", "random"].map((set) => ({ id: `${set}-2`, why: refused })),
    );
    expect([score.unreadable, score.empty]).toEqual([3, 0]);
    expect(score.deviations).toEqual([]);
  }
  expect(scoreBenchmark(predictions, "default").value).toBeCloseTo(100 * (6 / 18), 9); // "no" to all would have 50
});

test("fewer tokens than the benchmark's own, or other words, are a deviation that the predictions themselves tell", async () => {
  const loaded = await load("pope");
  const { answerer, asked } = recorder(yes);
  await runBenchmark(loaded, answerer, { folder: path("short"), maxNewTokens: 4 });
  expect(new Set(asked().map(({ maxNewTokens }) => maxNewTokens))).toEqual(new Set([4]));
  const { predictions } = await readRun(path("short"));
  expect(scoreBenchmark(predictions, "default").deviations).toEqual(["answers of at most 4 tokens instead of 128"]);
  await expect(runBenchmark(loaded, answerer, { folder: path("short") })).rejects.toThrow(
    "begun with maxNewTokens 4, not 128",
  );
  await runBenchmark(await load("mme"), answerer, { folder: path("words"), style: "lmms-eval" });
  const { predictions: worded } = await readRun(path("words"));
  expect(scoreBenchmark(worded, "default").deviations).toEqual(["asked in the words of lmms-eval"]);
});

test("shards are disjoint, whole pictures, and together everything", async () => {
  const loaded = await load("mme");
  const shards = [0, 1, 2].map((index) => shardOf(loaded.questions, { index, count: 3 }));
  expect(
    shards
      .flat()
      .map(({ id }) => id)
      .sort(),
  ).toEqual(loaded.questions.map(({ id }) => id).sort());
  for (const shard of shards) expect(shard.length).toBeGreaterThan(15);
  const keys = shards.map((shard) => new Set(shard.map(({ pictures }) => pictures[0]!.key)));
  expect(new Set(keys.flatMap((some) => [...some])).size).toBe(keys.reduce((sum, { size }) => sum + size, 0));
  const folder = path("shards");
  for (const index of [2, 0, 1]) {
    await runBenchmark(loaded, recorder(yes).answerer, { folder, shard: { index, count: 3 } });
  }
  const { predictions } = await readRun(folder);
  expect(predictions.map(({ place }) => place)).toEqual(Array.from({ length: 56 }, (_, place) => place));
});

test("a folder goes on only with what it was begun with", async () => {
  const folder = path("begun");
  const loaded = await load("docvqa");
  await runBenchmark(loaded, recorder(yes).answerer, { folder });
  await expect(runBenchmark(loaded, recorder(yes, "another").answerer, { folder })).rejects.toThrow(
    /begun with answerer "recorder", not "another"/,
  );
  await expect(runBenchmark(loaded, recorder(yes).answerer, { folder, style: "cambrian" })).rejects.toThrow(
    ConfigError,
  );
  const file = `${folder}/predictions.jsonl`;
  writeFileSync(file, readFileSync(file, "utf8").replace("line 0", "line 9"));
  await expect(runBenchmark(loaded, recorder(yes).answerer, { folder })).rejects.toThrow(
    "1 answers to other questions",
  );
});

test("an answerer that answers twice, or not, is found out", async () => {
  const loaded = await load("realworldqa");
  const twice = recorder(yes).answerer;
  const doubling = {
    name: "twice",
    answer: async function* (requests: never) {
      for await (const answer of twice.answer(requests)) {
        yield answer;
        yield answer;
      }
    },
  };
  await expect(runBenchmark(loaded, doubling, { folder: path("twice") })).rejects.toThrow("not asked or twice");
  const mute = { name: "mute", answer: async function* () {} };
  await expect(runBenchmark(loaded, mute, { folder: path("mute") })).rejects.toThrow("no answer to 6 questions");
  expect(existsSync(path("mute", "run.json"))).toBe(true);
});

test("bad predictions are named by file and line", async () => {
  const folder = path("kept");
  const lines = readFileSync(`${folder}/predictions.jsonl`, "utf8").trimEnd().split("\n");
  const file = path("bad.jsonl");
  const cases: [string[], string][] = [
    [[lines[0]!, lines[0]!], "line 2: pope/adversarial-1 is answered twice"],
    [[lines[0]!, "{"], "line 2: "],
    [[lines[0]!.replace('"place":0', '"place":"x"')], "line 1: place: "],
  ];
  for (const [content, message] of cases) {
    writeFileSync(file, `${content.join("\n")}\n`);
    await expect(readPredictions(file)).rejects.toThrow(message);
  }
});
