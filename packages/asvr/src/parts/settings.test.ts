import { expect, test } from "vitest";
import { demoSettings, rowSettings, settingsOf, settingsSchema } from "./settings.js";

test("settings from before there was a choice of things have the standard ones", () => {
  const { things: _, ...earlier } = demoSettings.world;
  expect(settingsSchema.parse({ ...demoSettings, world: earlier }).world).toEqual(demoSettings.world);
});

test("half of the pictures are seen as often: in half of the steps", () => {
  const settings = settingsOf("table2", "micro");
  const { pretraining, tuning } = settings.steps;
  const recipe = rowSettings(settings, "asvr-2m");
  expect(recipe).toMatchObject({ name: "table2/asvr-2m", data: { share: 0.5 }, supervision: { kind: "semantic" } });
  expect(recipe.stages).toMatchObject({ pretraining: { steps: pretraining / 2 }, tuning: { steps: tuning / 2 } });
});

test("a row that the table does not have at the scale is named", () => {
  const rows = (table: string, scale: string, row: string) =>
    settingsSchema.safeParse({ ...demoSettings, table, scale, rows: [row] }).error?.issues[0]?.message;
  expect(rows("table8", "micro", "dual")).toMatch(/table8 has no dual at scale micro; it has llava, tokenizer-3m/);
  expect(rows("table2", "small", "asvr-13b")).toMatch(/table2 has no asvr-13b at scale small; it has llava-2m/);
});
