import { expect, test } from "vitest";
import { cosineWithWarmup } from "./schedule.js";

test("rises from zero, reaches the peak after the warm-up and ends at zero", () => {
  const rate = cosineWithWarmup({ learningRate: 2, totalSteps: 20, warmupSteps: 4 });
  expect(rate(0)).toBe(0);
  expect(rate(2)).toBe(1);
  expect(rate(4)).toBe(2);
  expect(rate(12)).toBeCloseTo(1, 12);
  expect(rate(20)).toBe(0);
});

test("a ratio is rounded up to whole steps", () => {
  const byRatio = cosineWithWarmup({ learningRate: 1, totalSteps: 37, warmupRatio: 0.03 });
  const bySteps = cosineWithWarmup({ learningRate: 1, totalSteps: 37, warmupSteps: 2 });
  for (let step = 0; step <= 37; step++) expect(byRatio(step)).toBe(bySteps(step));
});

test("without warm-up the first step has the whole rate", () => {
  expect(cosineWithWarmup({ learningRate: 0.5, totalSteps: 10, warmupRatio: 0 })(0)).toBe(0.5);
});
