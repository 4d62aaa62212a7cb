import { expect, test } from "vitest";
import { BenchError, byTurns, requireEqual, runSide, type Side } from "./sides.js";

/** A side that is a line of JavaScript. */
const side = (code: string): Side => ({ name: "ours", command: process.execPath, args: ["-e", code] });

test("a side is given its options and the number of threads, and its line is read", async () => {
  const code =
    "process.stdout.write(JSON.stringify({ ...JSON.parse(process.argv[1]), omp: process.env.OMP_NUM_THREADS }))";
  const { result, seconds } = await runSide(side(code), { threads: 2, steps: 3 });
  expect(result).toEqual({ threads: 2, steps: 3, omp: "2" });
  expect(seconds).toBeGreaterThan(0);
});

test.each([
  ["fails", "console.error('out of paper'); process.exit(3)", /ended with status 3; it wrote:\nout of paper/],
  ["prints something else", "console.log('hello')", /printed no JSON: hello/],
])("a side that %s ends the bench", async (_, code, message) => {
  await expect(runSide(side(code), { threads: 1 })).rejects.toThrow(message);
  await expect(runSide(side(code), { threads: 1 })).rejects.toThrow(BenchError);
});

test("sides run by turns, ours first", async () => {
  const order: string[] = [];
  const sides = { ours: async () => order.push("ours"), peer: async () => order.push("peer") };
  const figures = await byTurns(2, sides);
  expect(order).toEqual(["ours", "peer", "ours", "peer"]);
  expect(figures).toHaveLength(2);
});

test("values that differ are refused, and so is no number", () => {
  requireEqual("the loss", 1.0005, 1, 1e-3);
  expect(() => requireEqual("the loss", 1.01, 1, 1e-3)).toThrow("the loss is 1.01 here and 1 there");
  expect(() => requireEqual("the loss", Number.NaN, 1, 1e-3)).toThrow(BenchError);
});
