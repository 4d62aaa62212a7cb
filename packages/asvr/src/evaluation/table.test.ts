import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Prediction, Study, StudyRow } from "../runs/run-folder.js";
import { averageValues, QuestionGrid } from "./question-grid.js";
import { mean } from "./statistics.js";
import { type RowRuns, type SeedRun, tabulate } from "./table.js";

/** right[image][question]: a "color" and two "count" questions for each image. */
function answers(right: readonly (readonly boolean[])[]): Prediction[] {
  const types = ["color", "count", "count"];
  return right.flatMap((image, imageIndex) =>
    image.map((correct, index) => ({
      id: `${imageIndex}-${index}`,
      image: `data/images/${imageIndex}.png`,
      type: types[index]!,
      group: index === 0 ? "general" : "visual-centric",
      question: "?",
      answer: "a",
      prediction: correct ? "a" : "b",
      correct,
    })),
  );
}

const row = (id: string, seeds: number[]): StudyRow => ({
  id,
  title: id,
  supervision: "none",
  alignment: "none",
  visualInput: "continuous",
  seeds,
  steps: { pretraining: 20, tuning: 80 },
});

function tables(runs: Record<string, Prediction[][]>, extra: Partial<SeedRun> = {}) {
  const rows: RowRuns[] = Object.entries(runs).map(([id, bySeed]) => ({
    row: row(id, [...bySeed.keys()]),
    seeds: bySeed.map((seen, seed) => ({ seed, predictions: { "test-seen": seen }, ...extra })),
  }));
  const study: Study = {
    table: "table1",
    scale: "micro",
    command: "asvr reproduce",
    startedAt: "2026-01-05T10:00:00Z",
    versions: {},
    machine: { cpu: "x", cores: 2, threads: 2, platform: "linux" },
    seeds: [0],
    rows: rows.map((one) => one.row),
    parts: [],
  };
  return tabulate(study, undefined, rows);
}

const worse = [
  [true, false, false],
  [false, true, false],
];
const better = [
  [true, true, false],
  [true, true, true],
];

describe("tabulate", () => {
  test("scores are means over questions, the mean is over types, in percent", () => {
    const { rows, types } = tables({ llava: [answers(worse)], asvr: [answers(better)] });
    expect(rows[0]).toMatchObject({ scores: { color: 50, count: 25 }, mean: 37.5, steps: 100 });
    expect(rows[1]).toMatchObject({ scores: { color: 100, count: 75 }, mean: 87.5 });
    expect(rows[1]!.groups).toEqual({ general: 100, "visual-centric": 75 });
    expect(types).toEqual({ color: { group: "general" }, count: { group: "visual-centric" } });
  });

  test("the difference is that of the means; the baseline has none", () => {
    const { rows } = tables({ llava: [answers(worse)], asvr: [answers(better)] });
    expect(rows[0]).not.toHaveProperty("difference");
    expect(rows[1]!.difference).toMatchObject({ against: "llava", mean: 50 });
    const [low, high] = rows[1]!.difference!.interval;
    expect(low).toBeLessThanOrEqual(50);
    expect(high).toBeGreaterThanOrEqual(50);
  });

  test("one or two seeds: bootstrap and permutation over images; three: t over seeds", () => {
    const two = tables({ llava: [answers(worse), answers(better)], asvr: [answers(better), answers(better)] });
    expect(two.rows[0]!.intervalKind).toBe("bootstrap over test images");
    expect(two.comparisons[0]!.test).toBe("paired permutation over images");
    expect(two.rows[0]!.mean).toBe(62.5);
    const three = tables({
      llava: [answers(worse), answers(worse), answers(better)],
      asvr: [answers(better), answers(better), answers(better)],
    });
    expect(three.rows[0]!.intervalKind).toBe("t over seeds");
    expect(three.comparisons[0]).toMatchObject({ test: "paired t over seeds", seeds: [0, 1, 2] });
    // Differences 50, 50, 0: mean 33.33, t = 2 with two degrees of freedom.
    expect(three.rows[1]!.difference).toMatchObject({ mean: 33.3333, p: 0.184 });
  });

  test("pairs are common seeds only; without one there is no difference, and it is said", () => {
    const runs = tables({ llava: [answers(worse)], asvr: [[], answers(better)] });
    expect(runs.rows[1]!.seeds).toEqual([1]);
    expect(runs.rows[1]).not.toHaveProperty("difference");
    expect(runs.missing).toContain("asvr: no seed in common with llava, so no difference");
  });

  test("seconds are those of training, without evaluation", () => {
    const result = { seconds: { pretraining: 10, tuning: 30, evaluation: 5 }, parameters: {}, peakMemoryBytes: 1 };
    expect(tables({ llava: [answers(worse)] }, { result }).rows[0]!.seconds).toBe(40);
    expect(tables({ llava: [answers(worse)] }).rows[0]).not.toHaveProperty("seconds");
  });
});

test("images' contributions sum to the score, whatever the answers", () => {
  const outcomes = fc.array(fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(outcomes, (right) => {
      const grid = new QuestionGrid(answers(right));
      const values = grid.values(answers(right));
      const total = grid.contributions(values).reduce((sum, part) => sum + part, 0);
      expect(total).toBeCloseTo(grid.score(values), 12);
      expect(grid.score(values, new Float64Array(right.length).fill(2))).toBeCloseTo(total, 12);
      expect(grid.score(averageValues([values, values]))).toBeCloseTo(total, 12);
      expect(mean(grid.byType(values))).toBeCloseTo(total, 12);
    }),
  );
});
