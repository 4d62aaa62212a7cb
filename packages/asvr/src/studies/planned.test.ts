import { expect, test } from "vitest";
import { recipeNamed } from "../recipes/tables.js";
import { plannedPaper } from "./planned.js";

const planOf = (names: readonly string[], seeds = [0]) =>
  plannedPaper(
    names.map((name) => recipeNamed(name, "paper")),
    seeds,
  );
const named = (steps: ReturnType<typeof planOf>, end: RegExp) =>
  steps.map(({ name }) => name).filter((name) => end.test(name));

test("a step comes after all that it needs, and says what is missing", () => {
  const steps = planOf(["table2/asvr-4m", "table3/asvr-highres", "table4/ross-vae"], [0, 1]);
  for (const [index, { name, needs, missing }] of steps.entries()) {
    const before = steps.slice(0, index).map((step) => step.name);
    expect(before, name).toEqual(expect.arrayContaining(needs));
    expect(missing, name).not.toEqual([]);
  }
  expect(named(steps, /middle/)).toEqual(["table2/asvr-4m middle seed 0", "table2/asvr-4m middle seed 1"]);
});

test("rows share data, checkpoints, features, and the stages that are equal", () => {
  const steps = planOf(["table1/asvr", "table4/asvr-next", "table8/asvr", "table6/665k"]);
  expect(named(steps, /pretraining$/)).toEqual(["table1/asvr pretraining"]);
  expect(named(steps, /tuning$/)).toEqual(["table1/asvr tuning", "table4/asvr-next tuning"]);
  expect(named(steps, /evaluation$/)).toEqual(["table1/asvr evaluation", "table4/asvr-next evaluation"]);
  expect(named(steps, /^data/)).toEqual(["data LLaVA-558K", "data LLaVA-1.5-665K", "data LLaVA-Next-779K"]);
  expect(named(steps, /^features of LLaVA-558K/)).toHaveLength(1);
});

test("a baseline needs no tokenizer", () => {
  expect(named(planOf(["table1/llava"]), /codes|vq-/)).toEqual([]);
});
