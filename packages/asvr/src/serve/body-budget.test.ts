import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { BodyBudget } from "./body-budget.js";

test("over the budget the largest body that still arrives is refused, and the small one passes", async () => {
  const budget = new BodyBudget(1000);
  const [large, small] = [new PassThrough(), new PassThrough()];
  const counted = [large, small].map((payload) => budget.count(payload));
  const told = Promise.allSettled(counted.map(({ stream }) => text(stream)));
  large.write("x".repeat(900));
  await expect.poll(() => budget.held).toBe(900);
  small.end("y".repeat(200));
  const [first, second] = await told;
  expect(first).toMatchObject({ status: "rejected", reason: { name: "BusyError" } });
  expect(second).toMatchObject({ status: "fulfilled", value: "y".repeat(200) });
  for (const { release } of [...counted, ...counted]) release();
  expect(budget.held).toBe(0);
});

test("a body whose sender leaves ends", async () => {
  const budget = new BodyBudget(1000);
  const payload = new PassThrough();
  const { stream, release } = budget.count(payload);
  const told = text(stream);
  payload.write("x");
  payload.destroy();
  await expect(told).rejects.toThrow();
  release();
  expect(budget.held).toBe(0);
});
