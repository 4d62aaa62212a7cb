import { expect, test } from "vitest";
import { PixelBudget } from "./pixel-budget.js";

const never = new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("one decodes at a time, in order, when the others hold less than the budget", async () => {
  const budget = new PixelBudget(100);
  let running = 0;
  let most = 0;
  const order: number[] = [];
  const ask = (name: number, signal = never) =>
    budget.decode(async (hold) => {
      most = Math.max(most, ++running);
      await turn();
      hold(60);
      order.push(name);
      running--;
    }, signal);
  const all = [1, 2, 3, 4].map((name) => ask(name));
  const [first, second] = await Promise.all(all.slice(0, 2));
  await turn();
  expect([budget.held, order, most]).toEqual([120, [1, 2], 1]);
  first!.release();
  first!.release(); // a second time is nothing
  (await all[2]!).release();
  second!.release();
  (await all[3]!).release();
  expect([budget.held, order, most]).toEqual([0, [1, 2, 3, 4], 1]);
});

test("one that fails or gives up holds nothing and lets the next one in", async () => {
  const budget = new PixelBudget(100);
  const fails = budget.decode(async (hold) => {
    hold(500);
    throw new Error("no picture");
  }, never);
  await expect(fails).rejects.toThrow("no picture");
  expect(budget.held).toBe(0);
  const { release } = await budget.decode(async (hold) => hold(100), never);
  const leaves = new AbortController();
  const waiting = budget.decode(async (hold) => hold(1), leaves.signal);
  const next = budget.decode(async (hold) => hold(1), never);
  await turn();
  leaves.abort(new Error("the client left"));
  await expect(waiting).rejects.toThrow("the client left");
  release();
  (await next).release();
  expect(budget.held).toBe(0);
});
