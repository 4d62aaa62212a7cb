import { describe, expect, test } from "vitest";
import { paperDifference, paperGroupMeans, paperRow, paperTable1 } from "./paper-table1.js";

describe("the paper's Table 1", () => {
  test("every printed average is the mean of the 14 benchmarks, within 0.06", () => {
    for (const row of paperTable1) {
      const scores = Object.values(row.scores);
      expect(scores).toHaveLength(14);
      const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
      expect(Math.abs(mean - row.printedAverage), row.id).toBeLessThan(0.06);
    }
  });

  test("ASVR is 3.0 above the baseline, appearance codes are 1.8 below it", () => {
    expect(paperDifference(paperRow("asvr")!)).toBeCloseTo(3.0, 6);
    expect(paperDifference(paperRow("appearance")!)).toBeCloseTo(-1.8, 6);
    expect(paperDifference(paperRow("llava")!)).toBeUndefined();
  });

  test("group means are taken over the group's own benchmarks", () => {
    const means = paperGroupMeans(paperRow("llava")!);
    expect(means.OCR).toBeCloseTo((56.0 + 21.1 + 31.3 + 14.6) / 4, 9);
    expect(means.Hallucination).toBeCloseTo((23.9 + 85.9) / 2, 9);
  });
});
