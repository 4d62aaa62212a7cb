import { expect, test } from "vitest";
import { compare, geometricMean, median, rounded } from "./statistics.js";

test("the ratio is the median of the rounds' ratios, not the ratio of the medians", () => {
  const rounds = [
    { ours: 1, peer: 2 },
    { ours: 6, peer: 6 },
    { ours: 8, peer: 10 },
  ];
  expect(compare(rounds)).toEqual({ ours: 6, peer: 6, ratio: 0.8, spread: [0.5, 1] });
});

test("means", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(geometricMean([0.5, 2])).toBeCloseTo(1);
});

test("numbers are rounded wherever they are", () => {
  expect(rounded({ a: [1.23456, 12345], b: { c: "x", d: null } })).toEqual({
    a: [1.235, 12345],
    b: { c: "x", d: null },
  });
});
