import { describe, expect, test } from "vitest";
import type { Interval } from "../evaluation/statistics.js";
import type { Comparison, TableRow, Tables } from "../evaluation/table.js";
import type { Split, StudyRow } from "../runs/run-folder.js";
import { readTable } from "./reading.js";

const tableRow = (id: string, mean: number, extra: Partial<TableRow> = {}): TableRow => ({
  id,
  supervision: "none",
  alignment: "none",
  seeds: [0],
  steps: 1000,
  scores: { color: mean },
  groups: {},
  mean,
  interval: [mean - 2, mean + 2],
  intervalKind: "bootstrap over test images",
  ...extra,
});

const manySeeds = [0, 1, 2];
const difference = (
  pair: string,
  interval: Interval,
  p: number,
  { split = "test-seen", seeds = manySeeds }: { split?: Split; seeds?: number[] } = {},
): Comparison => {
  const [row, against] = pair.split(" - ") as [string, string];
  const mean = (interval[0] + interval[1]) / 2;
  const kinds = { intervalKind: "bootstrap over test images", test: "paired permutation over images" } as const;
  return { row, against, split, mean, interval, p, seeds, ...kinds };
};

const tables = (rows: TableRow[], comparisons: Comparison[]): Tables => ({
  table: "table1",
  scale: "micro",
  rows,
  types: { color: { group: "visual-centric", majority: 19 } },
  novelTypes: ["color"],
  paper: [],
  comparisons,
  command: "",
  date: "",
  machine: { cpu: "", cores: 2, threads: 2, platform: "" },
  missing: [],
});

const roles = [
  { id: "longer", role: "equal-time" },
  { id: "shuffled", role: "control" },
] as StudyRow[];

function read(rows: TableRow[], comparisons: Comparison[]): Record<string, string> {
  const findings = readTable(tables(rows, comparisons), roles);
  return Object.fromEntries(findings.map(({ topic, text }) => [topic, text.replaceAll("\u00a0", " ")]));
}

const pair = [tableRow("llava", 50), tableRow("asvr", 55)];

describe("the wording follows the interval", () => {
  test.each<[Interval, string]>([
    [[2, 8], "ASVR is ahead in this run"],
    [[-8, -2], "ASVR is behind in this run"],
    [[-1, 8], "this run does not separate the two"],
    [[0, 8], "this run does not separate the two"],
  ])("an interval of %j: %s", (interval, words) => {
    expect(read(pair, [difference("asvr - llava", interval, 0.5)])["Equal steps"]).toContain(words);
  });

  test("an open interval claims no direction anywhere", () => {
    const rows = [...pair, tableRow("appearance", 54), tableRow("longer", 54), tableRow("shuffled", 51)];
    const open = ["llava", "appearance", "longer", "shuffled"].map((id) => difference(`asvr - ${id}`, [-1, 3], 0.3));
    const texts = read(rows, open);
    for (const topic of ["Equal steps", "Equal time", "Semantic or appearance", "Control"]) {
      expect(texts[topic], topic).toContain("The interval contains zero");
      expect(texts[topic], topic).not.toMatch(/is ahead|are ahead|is behind|matters,/);
    }
  });

  test.each([[[0]], [[0, 1]]])("seeds %j claim nothing anywhere, whatever their interval and test say", (seeds) => {
    const rows = [...pair, tableRow("appearance", 54), tableRow("longer", 70), tableRow("shuffled", 51)];
    const clear = ["llava", "appearance", "longer", "shuffled"].flatMap((id) => [
      difference(`asvr - ${id}`, [2, 8], 0.001, { seeds }),
      difference(`asvr - ${id}`, [-8, -2], 0.015, { seeds, split: "test-novel" }),
    ]);
    const texts = read(rows, clear);
    expect(texts["Equal steps"]).toContain(": +5.0 points. ");
    for (const topic of ["Equal steps", "Equal time", "Semantic or appearance", "Control"]) {
      expect(texts[topic], topic).toMatch(/seeds? separates? nothing\./);
    }
    expect(Object.values(texts).join(" ")).not.toMatch(/\bp [=<]|ahead|behind|95% interval|borderline|p values/);
  });

  test("interval and test that disagree are called borderline", () => {
    expect(read(pair, [difference("asvr - llava", [0.1, 8], 0.06)])["Equal steps"]).toContain("borderline");
    expect(read(pair, [difference("asvr - llava", [2, 8], 0.01)])["Equal steps"]).not.toContain("borderline");
  });

  test("a lead at equal steps that is gone at equal time is named as speed", () => {
    const rows = [...pair, tableRow("longer", 55, { seconds: 90 })];
    const comparisons = [difference("asvr - llava", [2, 8], 0.01), difference("asvr - longer", [-2, 2], 0.9)];
    expect(read(rows, comparisons)["Equal time"]).toContain("faster learning only");
  });

  test("a time that is not equal is said to be not equal", () => {
    const rows = [pair[0]!, tableRow("asvr", 55, { seconds: 100 }), tableRow("longer", 55, { seconds: 70 })];
    expect(read(rows, [difference("asvr - longer", [-2, 2], 0.9)])["Equal time"]).toContain("0.70 times ASVR's time");
  });
});

describe("limits are stated", () => {
  test("steps that differ are not called the same", () => {
    const rows = [pair[0]!, tableRow("asvr", 55, { steps: 700 })];
    const text = read(rows, [difference("asvr - llava", [2, 8], 0.01)])["Equal steps"];
    expect(text).toContain("After 700 steps against 1,000");
  });

  test("fewer than three seeds: the intervals cover test images only", () => {
    expect(read(pair, [])["What the intervals cover"]).toMatch(
      /One seed a row: every interval resamples the test images only/,
    );
    const many = pair.map((row) => ({ ...row, seeds: manySeeds, intervalKind: "t over seeds" as const }));
    expect(read(many, [])["What the intervals cover"]).toMatch(
      /^3 seeds a row: every interval is a t interval over seeds/,
    );
  });

  test("the paper's result at 7B is never claimed to be tested", () => {
    expect(read(pair, [])["The paper"]).toContain("not tested here");
  });

  test("without a pair there is no verdict", () => {
    expect(read([pair[0]!], [])["Equal steps"]).toContain("cannot say whether");
  });

  test("a type that no row answers better than guessing is named", () => {
    expect(read([tableRow("llava", 20), tableRow("asvr", 20.5)], []).Guessing).toContain("on color");
    expect(read(pair, []).Guessing).not.toContain("on color");
  });
});
