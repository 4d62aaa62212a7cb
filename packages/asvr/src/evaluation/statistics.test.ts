import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bootstrapOverClusters,
  mean,
  pairedPermutation,
  pairedT,
  quantile,
  standardDeviation,
  tInterval,
} from "./statistics.js";

/** Student's sleep data (1908): extra hours of sleep under two drugs, ten patients. R's example of `t.test(paired = TRUE)`. */
const sleep = [
  [0.7, 1.9],
  [-1.6, 0.8],
  [-0.2, 1.1],
  [-1.2, 0.1],
  [-0.1, -0.1],
  [3.4, 4.4],
  [3.7, 5.5],
  [0.8, 1.6],
  [0.0, 4.6],
  [2.0, 3.4],
] as const;
const sleepDifferences = sleep.map(([first, second]) => first - second);

describe("t statistics", () => {
  test("the sleep data give R's t, p and interval", () => {
    const result = pairedT(sleepDifferences);
    expect(result.t).toBeCloseTo(-4.0621, 4);
    expect(result.degreesOfFreedom).toBe(9);
    expect(result.p).toBeCloseTo(0.002833, 6);
    const [low, high] = tInterval(sleepDifferences);
    expect(low).toBeCloseTo(-2.4598858, 6);
    expect(high).toBeCloseTo(-0.7001142, 6);
  });

  test("three values: the quantile of t with two degrees of freedom is 4.3027", () => {
    const [low, high] = tInterval([1, 2, 3]);
    expect(high - 2).toBeCloseTo(4.302653 / Math.sqrt(3), 5);
    expect(low + high).toBeCloseTo(4, 9);
  });

  test("pairs without spread: equal pairs give p = 1, a constant shift p = 0", () => {
    expect(pairedT([0, 0, 0])).toMatchObject({ t: 0, p: 1 });
    expect(pairedT([2, 2, 2])).toMatchObject({ t: Number.POSITIVE_INFINITY, p: 0 });
    expect(pairedT([-2, -2, -2]).t).toBe(Number.NEGATIVE_INFINITY);
  });

  test("one value has no deviation, and the message says how many there are", () => {
    expect(() => standardDeviation([5])).toThrow("1 value(s), at least 2");
    expect(() => tInterval([5])).toThrow("at least 2");
    expect(() => mean([])).toThrow("no values");
  });
});

test("quantile interpolates as numpy does", () => {
  expect(quantile([1, 2, 3, 4], 0.4)).toBeCloseTo(2.2, 12);
  expect(quantile([7], 0.975)).toBe(7);
});

describe("bootstrap over clusters", () => {
  const values = Array.from({ length: 100 }, (_, index) => (index % 10 < 3 ? 1 : 0)); // 30% right
  const weightedMean = (drawn: Float64Array) =>
    drawn.reduce((sum, count, index) => sum + count * values[index]!, 0) / 100;

  test("near the normal interval of a proportion: 0.30 plus or minus 1.96 * sqrt(.3 * .7 / 100)", () => {
    const [low, high] = bootstrapOverClusters(100, weightedMean, { seed: 3 });
    expect(low).toBeGreaterThan(0.18);
    expect(low).toBeLessThan(0.24);
    expect(high).toBeGreaterThan(0.36);
    expect(high).toBeLessThan(0.42);
  });

  test("the same seed gives the same interval, and every resample draws as many clusters as there are", () => {
    const draw = (seed: number) => bootstrapOverClusters(100, weightedMean, { seed, resamples: 200 });
    expect(draw(1)).toEqual(draw(1));
    const totals = bootstrapOverClusters(7, (drawn) => drawn.reduce((sum, count) => sum + count, 0), { resamples: 20 });
    expect(totals).toEqual([7, 7]);
  });

  test("the interval lies within the range of the clusters' values", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 1, maxLength: 12 }), (data) => {
        const statistic = (drawn: Float64Array) =>
          drawn.reduce((sum, count, index) => sum + count * data[index]!, 0) / data.length;
        const [low, high] = bootstrapOverClusters(data.length, statistic, { resamples: 50 });
        expect(low).toBeLessThanOrEqual(high);
        expect(low).toBeGreaterThanOrEqual(Math.min(...data) - 1e-9);
        expect(high).toBeLessThanOrEqual(Math.max(...data) + 1e-9);
      }),
      { numRuns: 50 },
    );
  });

  test("no clusters is an error", () => {
    expect(() => bootstrapOverClusters(0, () => 0)).toThrow("no clusters");
  });
});

describe("paired permutation", () => {
  test("five equal differences: 2 of the 32 sign patterns are as extreme, p near 0.0625", () => {
    expect(pairedPermutation([1, 1, 1, 1, 1])).toBeCloseTo(2 / 32, 2);
  });

  test("no differences: every pattern is as extreme, p = 1", () => {
    expect(pairedPermutation([0, 0, 0], { flips: 99 })).toBe(1);
    expect(pairedPermutation([], { flips: 99 })).toBe(1);
  });

  test("a large shift reaches the smallest p that the flips allow", () => {
    expect(pairedPermutation(new Array(200).fill(1), { flips: 999 })).toBe(1 / 1000);
  });

  test("p lies in (0, 1] and does not depend on which system comes first", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -3, max: 3 }), { maxLength: 15 }), (differences) => {
        const p = pairedPermutation(differences, { flips: 200, seed: 5 });
        expect(p).toBeGreaterThan(0);
        expect(p).toBeLessThanOrEqual(1);
        const swapped = differences.map((difference) => -difference);
        expect(pairedPermutation(swapped, { flips: 200, seed: 5 })).toBe(p);
      }),
      { numRuns: 50 },
    );
  });
});
