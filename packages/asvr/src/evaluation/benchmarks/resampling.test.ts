import { expect, test } from "vitest";
import { Random } from "../../random.js";
import { each, type Scored } from "../scoring/shares.js";
import { compare, holm, mcNemar, overSeeds, Resampled } from "./resampling.js";

function coins(count: number, chance: number, seed: number, perCluster = 1): Scored[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, at) => {
    const score = random.uniform() < chance ? 1 : 0;
    return { cluster: String(Math.floor(at / perCluster)), score };
  });
}

function resampled(items: readonly Scored[]): Resampled {
  return new Resampled([{ scale: 100, units: each(items) }], [...new Set(items.map(({ cluster }) => cluster))]);
}

test("the interval of a share is as wide as the binomial one", () => {
  const one = resampled(coins(2000, 0.3, 1));
  const [low, high] = one.interval();
  const reach = 196 * Math.sqrt((0.3 * 0.7) / 2000);
  expect(one.value()).toBeCloseTo(30, -1);
  expect((high - low) / 2).toBeGreaterThan(0.85 * reach);
  expect((high - low) / 2).toBeLessThan(1.15 * reach);
});

test("questions that always agree within a cluster widen it by the root of their number", () => {
  const single = coins(500, 0.5, 2);
  const fourfold = single.flatMap((item) => [item, item, item, item]);
  const width = ([low, high]: [number, number]) => high - low;
  expect(width(resampled(fourfold).interval())).toBeCloseTo(width(resampled(single).interval()), 9);
  const apart = fourfold.map((item, at) => ({ ...item, cluster: String(at) }));
  const ratio = width(resampled(single).interval()) / width(resampled(apart).interval());
  expect(ratio).toBeGreaterThan(1.8);
  expect(ratio).toBeLessThan(2.2);
});

test("a difference is found where there is one, and none where there is none", () => {
  const base = coins(1000, 0.5, 3);
  const better = base.map((item, at) => (at % 20 === 0 ? { ...item, score: 1 } : item)); // about 2.5 points
  const found = compare(resampled(better), resampled(base));
  expect(found.value).toBeCloseTo(resampled(better).value() - resampled(base).value(), 9);
  expect(found.p).toBeLessThan(0.001);
  expect(found.interval[0]).toBeGreaterThan(0);
  const same = compare(resampled(base), resampled(base));
  expect(same).toEqual({ value: 0, interval: [0, 0], p: 1 });
  expect(compare(resampled(coins(1000, 0.5, 4)), resampled(base)).p).toBeGreaterThan(0.01);
  expect(() => compare(resampled(coins(10, 0.5, 4)), resampled(base))).toThrow("same clusters");
});

test("McNemar's exact p values", () => {
  expect(mcNemar(0, 0)).toBe(1);
  expect(mcNemar(5, 0)).toBeCloseTo(2 / 32, 12);
  expect(mcNemar(3, 7)).toBeCloseTo((2 * (1 + 10 + 45 + 120)) / 1024, 12);
  expect(mcNemar(7, 3)).toBe(mcNemar(3, 7));
  expect(mcNemar(600, 400)).toBeLessThan(1e-9);
  expect(mcNemar(4, 4)).toBe(1);
});

test("Holm's correction", () => {
  const corrected = holm([0.01, 0.04, 0.03, 0.005]);
  for (const [at, p] of [0.03, 0.06, 0.06, 0.02].entries()) expect(corrected[at]).toBeCloseTo(p, 12);
  expect(holm([0.5, 0.9])).toEqual([1, 1]);
  expect(holm([])).toEqual([]);
});

test("over seeds the interval holds both kinds of luck", () => {
  const seeds = [1, 2, 3].map((seed) => resampled(coins(400, 0.4 + 0.05 * seed, seed)));
  const { mean, spread, interval } = overSeeds(seeds);
  const values = seeds.map((one) => one.value());
  expect(mean).toBeCloseTo(values.reduce((sum, value) => sum + value) / 3, 9);
  expect(spread).toBeGreaterThan(0);
  const [low, high] = seeds[1]!.interval();
  expect(interval[1] - interval[0]).toBeGreaterThan(0.6 * (high - low));
  expect(interval[0]).toBeLessThan(mean);
  expect(interval[1]).toBeGreaterThan(mean);
  expect(() => overSeeds(seeds.slice(0, 1))).toThrow("at least 2");
});
