import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { benchmarkNamed } from "./all.js";
import type { Answerer } from "./answerer.js";
import { loadBenchmark } from "./data/load.js";
import { benchmarkFolder, recorder } from "./folder.fixture.js";
import { judgePredictions } from "./judge.js";
import { readRun, runBenchmark } from "./run.js";
import { scoreAgainst, scoreBenchmark } from "./score.js";

const { path } = benchmarkFolder();

/** Stored answers to a benchmark. */
async function answersOf(name: string, answer: (id: string) => string) {
  const loaded = await loadBenchmark(benchmarkNamed(name), path("data"));
  const folder = path(name);
  await runBenchmark(loaded, recorder(({ id }) => answer(id)).answerer, { folder });
  return (await readRun(folder)).predictions;
}
const judgedOf = (name: string) => benchmarkNamed(name).judged!;

test("HallusionBench: every answer is judged against the right one; prompt and reply are kept, and nothing is asked twice", async () => {
  const predictions = await answersOf("hallusionbench", () => "The lines are of one length.");
  expect(scoreBenchmark(predictions, "default").unreadable).toBe(12); // no yes or no
  const file = path("hallusionbench", "judge.jsonl");
  const judge = recorder(
    ({ prompt }) => (prompt.includes("Right answer: yes") ? "CORRECT." : "Incorrect"),
    "judge at x",
  );
  const options = { file, name: "tester" };
  const protocol = judgedOf("hallusionbench");
  const judged = await judgePredictions(predictions.slice(0, 5), protocol, judge.answerer, options);
  expect(judge.asked()).toHaveLength(5);
  expect(judge.asked()[0]!.prompt).toContain("The student said: The lines are of one length.");
  appendFileSync(file, '{"benchmark":"hallusionbench","id":"VD_'); // killed while it wrote
  const all = await judgePredictions(predictions, protocol, judge.answerer, options);
  expect(judge.asked()).toHaveLength(12);
  expect(all.slice(0, 5)).toEqual(judged);
  await judgePredictions(predictions, protocol, judge.answerer, options);
  expect(judge.asked()).toHaveLength(12);
  const lines = readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines).toHaveLength(12);
  expect(lines[0]).toMatchObject({
    judge: "judge at x",
    reply: expect.stringMatching(/correct/i),
    verdict: expect.stringMatching(/^[01]$/),
  });

  const score = scoreBenchmark(all, "default");
  expect(score.protocol).toBe("hallusion-judged(tester)");
  expect(score.values.aAcc).toBeCloseTo((100 * predictions.filter(({ gold }) => gold === "Yes").length) / 12, 9);
  expect(score.unreadable).toBe(0);
  const [against] = scoreAgainst([{ predictions: all }], [all], "default");
  expect(against).toMatchObject({ protocol: "hallusion-judged(tester)", against: { value: 0 } });
  // Another judge is asked itself; the question is, too, once its answer is another.
  const other = recorder(() => "unclear", "other at x");
  const unclear = await judgePredictions(predictions, protocol, other.answerer, { file, name: "other" });
  expect(other.asked()).toHaveLength(12);
  expect(scoreBenchmark(unclear, "default").values.aAcc).toBeCloseTo(100 / 3, 9); // four have no figure
});

test("unclear is right where there is no figure, and such questions are none", async () => {
  const predictions = (await answersOf("hallusionbench", () => "Perhaps.")).map((prediction) => ({
    ...prediction,
    question: { ...prediction.question, category: "VS", figure_id: prediction.place < 2 ? "0" : "1" },
  }));
  const judge = recorder(() => "Unclear").answerer;
  const file = path("unclear.jsonl");
  const judged = await judgePredictions(predictions, judgedOf("hallusionbench"), judge, { file, name: "j" });
  const { values } = scoreBenchmark(judged, "default");
  expect(values.aAcc).toBeCloseTo(200 / 12, 9);
  expect(values.fAcc).toBe(0);
});

test("MMBench and MMMU: only answers without a letter go to the judge", async () => {
  const wordy = "The picture leaves that open to me.";
  for (const [name, total] of [
    ["mmbench", 9],
    ["mmmu", 8],
  ] as const) {
    const predictions = await answersOf(name, (id) => (/[13579]$/.test(id) ? wordy : "A"));
    const isOpen = ({ question }: { question: { type?: unknown } }) => question.type === "open";
    const silent = predictions.filter((one) => one.answer === wordy && !isOpen(one as never));
    const judge = recorder(({ id }) => predictions.find((one) => one.id === id)!.gold!, `${name} judge`);
    const options = { file: path(name, "judge.jsonl"), name: "j" };
    const judged = await judgePredictions(predictions, judgedOf(name), judge.answerer, options);
    expect(judge.asked().map(({ id }) => id)).toEqual(silent.map(({ id }) => id));
    expect(silent.length).toBeGreaterThan(0);
    const { protocol, questions } = scoreBenchmark(judged, "default");
    expect({ protocol, questions }).toEqual({ protocol: `${name}-judged(j)`, questions: total });
    const points = (rows: typeof judged) =>
      scoreBenchmark(rows, "default").values.plain ?? scoreBenchmark(rows, "default").value;
    const none = judged.map((one) => ({
      ...one,
      judged: { judge: "j", ...(one.judged!.verdict && { verdict: "NONE" }) },
    }));
    expect(points(judged) - points(none)).toBeCloseTo((100 * silent.length) / total, 9);
  }
});

test("what a judge does not take or say is worth nothing, and told; what is no verdict is named by its line", async () => {
  const predictions = await answersOf("hallusionbench", () => "The lines are of one length.");
  const judge: Answerer = {
    name: "odd",
    async *answer(requests) {
      for (const [at, { id }] of requests.entries()) {
        yield at === 0 ? { id, text: "", refused: "too long" } : { id, text: "I would rather not say." };
      }
    },
  };
  const file = path("odd.jsonl");
  const judged = await judgePredictions(predictions, judgedOf("hallusionbench"), judge, { file, name: "odd" });
  const { value, unreadable } = scoreBenchmark(judged, "default");
  expect([value, unreadable]).toEqual([0, 12]);
  expect(JSON.parse(readFileSync(file, "utf8").split("\n")[0]!)).toMatchObject({ refused: "too long", verdict: null });
  writeFileSync(file, "{}\n");
  await expect(judgePredictions(predictions, judgedOf("hallusionbench"), judge, { file, name: "odd" })).rejects.toThrow(
    /odd\.jsonl, line 1: .*It is no verdict/,
  );
});
