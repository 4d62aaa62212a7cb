import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultDevice, memory, setThreads } from "@asvr/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tinySettings } from "../cli/fixture.js";
import { derive } from "../recipes/recipe.js";
import { recipeOf } from "../recipes/tables.js";
import { planStudy, sharedParts } from "../studies/plan.js";
import { runRow } from "../studies/row.js";
import type { PartContext } from "./part.js";
import { prepareRow } from "./prepare.js";

// Parts run in processes of their own; a row also in the process of `asvr train`, which may run for days.

const folder = mkdtempSync(join(tmpdir(), "asvr-parts-"));
afterAll(() => rmSync(folder, { recursive: true }));
setThreads(1);
const context: PartContext = {
  folder,
  settings: tinySettings,
  device: defaultDevice(),
  signal: new AbortController().signal,
  onProgress: () => {},
};

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  for (const part of planStudy(tinySettings))
    if (sharedParts(recipeOf("table1", "llava", "micro")).includes(part.name)) await part.run(context);
  expect(memory().tensors).toBe(0);
}, 120_000);

const steps = { stages: { pretraining: { steps: 2 }, tuning: { steps: 2 } } };

test.each(["llava", "asvr", "dual", "control", "asvr-discrete"])(
  "%s: a prepared row frees what it has made",
  async (row) => {
    const before = memory();
    {
      using prepared = await prepareRow(context, derive(recipeOf("table1", row, "micro"), steps), join(folder, "none"));
      expect(memory().tensors).toBeGreaterThan(before.tensors);
      await prepared.objective("tuning");
    }
    expect(memory()).toEqual(before);
  },
);

test.each(["llava", "asvr", "asvr-discrete"])("%s: training, answers and attention leave no tensor", async (row) => {
  const before = memory();
  await runRow(context, derive(recipeOf("table1", row, "micro"), steps), join(folder, `run-${row}`));
  expect(memory()).toEqual(before);
});
