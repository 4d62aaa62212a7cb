import { describe, expect, test } from "vitest";
import { paperCompute, paperGroupMeans, paperRow, paperTables } from "./paper-tables.js";
import { tables } from "./tables.js";

const rows = Object.entries(paperTables).flatMap(([table, rows]) =>
  Object.entries(rows).map(([id, row]) => ({ name: `${table}/${id}`, ...row })),
);

describe("the paper's tables", () => {
  test.each(rows)("$name: the printed average is the mean of the 14 benchmarks, within 0.06", (row) => {
    expect(row.scores).toHaveLength(14);
    const mean = row.scores.reduce((sum, score) => sum + score, 0) / 14;
    expect(Math.abs(mean - row.printedAverage)).toBeLessThan(0.061);
  });

  test("every printed row has a recipe of its id", () => {
    for (const [table, printed] of Object.entries({ ...paperTables, ...paperCompute })) {
      expect(Object.keys(tables[table as keyof typeof tables].rows)).toEqual(
        expect.arrayContaining(Object.keys(printed)),
      );
    }
  });

  test("group means are taken over the group's own benchmarks", () => {
    const means = paperGroupMeans(paperRow("table1", "llava")!);
    expect(means.OCR).toBeCloseTo((56.0 + 21.1 + 31.3 + 14.6) / 4, 9);
    expect(means.Hallucination).toBeCloseTo((23.9 + 85.9) / 2, 9);
  });

  test("ASVR is 3.0 above the baseline, appearance codes are 1.8 below it", () => {
    const average = (row: string) => paperRow("table1", row)!.printedAverage;
    expect(average("asvr") - average("llava")).toBeCloseTo(3.0, 9);
    expect(average("appearance") - average("llava")).toBeCloseTo(-1.8, 9);
  });

  test("what is no row of the paper has no printed scores", () => {
    expect(paperRow("table1", "control")).toBeUndefined();
    expect(paperRow("table5", "llava")).toBeUndefined();
  });
});
