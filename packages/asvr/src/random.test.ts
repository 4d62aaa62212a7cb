import fc from "fast-check";
import { expect, test } from "vitest";
import { Random } from "./random.js";

const draw = (random: Random, count = 5) => Array.from({ length: count }, () => random.bits());

test("a seed always gives the same numbers", () => {
  expect(draw(new Random(7), 3)).toEqual([3783236773, 2657192510, 2319633718]);
});

test("a fork depends on its labels, not on what was drawn before", () => {
  const used = new Random(7);
  draw(used, 100);
  expect(draw(used.fork("train").fork(3))).toEqual(draw(new Random(7).fork("train").fork(3)));
});

test("streams of other labels, other seeds and other paths differ", () => {
  const root = new Random(1);
  const streams = [root, new Random(2), new Random(12), root.fork(1), root.fork(2), root.fork(12), root.fork("")];
  streams.push(root.fork(1).fork(2), root.fork(2).fork(1), root.fork("a").fork("b"), root.fork("ab"));
  expect(new Set(streams.map((stream) => draw(stream).join())).size).toBe(streams.length);
});

test("neighbouring forks are independent: their first draws fill [0, 1) evenly", () => {
  const root = new Random(3).fork("pictures");
  const bins = new Array<number>(10).fill(0);
  for (let i = 0; i < 10_000; i++) bins[Math.floor(root.fork(i).uniform() * 10)]!++;
  const chiSquare = bins.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  expect(chiSquare).toBeLessThan(27.9); // 9 degrees of freedom, p = .001
});

test("int stays in range and reaches every value", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.integer(), (n, seed) => {
      const random = new Random(seed);
      const seen = new Set(Array.from({ length: 60 * n }, () => random.int(n)));
      expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
    }),
    { numRuns: 50 },
  );
});

test("int refuses an empty range by its value", () => {
  expect(() => new Random(1).int(0)).toThrow("n is 0");
  expect(() => new Random(1).pick([])).toThrow(RangeError);
});

test("shuffle keeps the elements and leaves the list as it was", () => {
  const list = [1, 2, 3, 4, 5, 6, 7];
  const shuffled = new Random(2).shuffle(list);
  expect(list).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(shuffled).not.toEqual(list);
  expect(shuffled.sort()).toEqual(list);
});
