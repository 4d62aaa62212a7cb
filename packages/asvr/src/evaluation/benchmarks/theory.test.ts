import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Random } from "../../random.js";
import { totalOf } from "../scoring/shares.js";
import { benchmarks } from "./all.js";
import type { Answerer, AnswerRequest } from "./answerer.js";
import { loadBenchmark } from "./data/load.js";
import { writeBenchmarkFixtures } from "./fixture.js";
import { readRun, runBenchmark } from "./run.js";
import { type BenchmarkScore, finalParts, scoreBenchmark } from "./score.js";

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "benchmarks-"));
  await writeBenchmarkFixtures(join(folder, "data"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** From files to the final number, with an answer for each question. */
async function scoreOf(
  name: string,
  who: string,
  answer: (request: AnswerRequest, question: object) => string,
): Promise<BenchmarkScore> {
  const benchmark = benchmarks.find((one) => one.name === name)!;
  const loaded = await loadBenchmark(benchmark, join(folder, "data"));
  const questions = new Map(loaded.questions.map(({ id, question }) => [id, question]));
  const answerer: Answerer = {
    name: who,
    async *answer(requests) {
      for (const request of requests) yield { id: request.id, text: answer(request, questions.get(request.id)!) };
    },
  };
  const run = join(folder, who, name);
  await runBenchmark(loaded, answerer, { folder: run });
  return scoreBenchmark((await readRun(run)).predictions, "default");
}

describe.each(benchmarks.map((one) => [one.name, one] as const))("%s", (name, benchmark) => {
  test("an oracle reaches what can be attained, which is everything here", async () => {
    const score = await scoreOf(name, "oracle", (_request, question) => benchmark.gold(question)!);
    expect(score.value).toBeCloseTo(100, 9);
    expect(score.attainable).toBeCloseTo(100, 9);
    expect(score.interval.map((bound) => Math.round(1e6 * bound) / 1e6)).toEqual([100, 100]);
    expect(score.unreadable).toBe(0);
  });

  test("who is always wrong gets nothing", async () => {
    const score = await scoreOf(name, "wrong", () => "§ § §");
    expect(score.value).toBe(0);
    const silent = await scoreOf(name, "silent", () => "");
    expect(silent.value).toBe(0);
    expect(silent.empty).toBe(silent.questions);
  });
});

test("MME's oracle has 2800 points", async () => {
  const score = await scoreOf("mme", "oracle", (_request, question) => (question as { answer: string }).answer);
  expect(score.values).toMatchObject({ sum: 2800, perception: 2000, cognition: 800 });
});

/** What a coin is worth, 0 to 100: computed by hand from the fixtures. */
const theory: Record<string, { answers: (question: never) => readonly string[]; value: number }> = {
  // Per category two pairs: half of the questions and a quarter of the pairs, 14 categories of 75 points, over 28.
  mme: { answers: () => ["Yes", "No"], value: (14 * (50 + 25)) / 28 },
  pope: { answers: () => ["Yes", "No"], value: 50 },
  // Pairs of questions a figure, and a question on two figures: one half, one quarter, one quarter.
  hallusionbench: { answers: () => ["Yes", "No"], value: 100 / 3 },
  seed: { answers: () => ["A", "B", "C", "D"], value: 25 },
  ai2d: { answers: () => ["A", "B", "C", "D"], value: 25 },
  mmvp: { answers: () => ["A", "B"], value: 25 },
  // Right in all rotations: of four options, of two and of three.
  mmbench: {
    answers: ({ options }: { options: Record<string, string> }) => Object.keys(options),
    value: (100 / 3) * (4 ** -4 + 2 ** -2 + 3 ** -3),
  },
};

test.each(Object.entries(theory))("a coin gets from %s what theory says", async (name, { answers, value }) => {
  const benchmark = benchmarks.find((one) => one.name === name)!;
  const loaded = await loadBenchmark(benchmark, join(folder, "data"));
  const first = await scoreOf(name, "first", () => "A");
  const base = (await readRun(join(folder, "first", name))).predictions;
  expect(first.questions).toBe(loaded.questions.length);
  const values = Array.from({ length: 400 }, (_, seed) => {
    const random = new Random(seed);
    const predictions = base.map((prediction) => {
      const faces = answers(prediction.question as never);
      return { ...prediction, answer: faces[random.int(faces.length)]! };
    });
    return totalOf(finalParts(predictions, "default"));
  });
  const center = values.reduce((sum, one) => sum + one, 0) / values.length;
  const spread = Math.sqrt(values.reduce((sum, one) => sum + (one - center) ** 2, 0) / (values.length - 1));
  expect(Math.abs(center - value)).toBeLessThan((4 * spread) / Math.sqrt(values.length));
});
