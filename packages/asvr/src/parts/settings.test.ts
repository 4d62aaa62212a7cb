import { readFileSync } from "node:fs";
import { runtimeInfo } from "@asvr/torch";
import { expect, test } from "vitest";
import { allRows } from "../recipes/table1.js";
import { planStudy } from "../studies/plan.js";
import { demoSettings, fingerprint, rowSettings, settingsOf, settingsSchema } from "./settings.js";

const { things: _, ...earlier } = demoSettings.world;
const printsOf = (world: object) =>
  planStudy(settingsSchema.parse({ ...demoSettings, world })).map((part) => part.fingerprint);

test("settings from before there was a choice of things have the standard ones, and their world is not made again", () => {
  const { world, sharedSeed, threads, matmul } = settingsSchema.parse({ ...demoSettings, world: earlier });
  expect(world).toEqual(demoSettings.world);
  const common = [sharedSeed, threads, matmul, runtimeInfo().libtorch];
  expect(printsOf(world)[0]).toBe(fingerprint("data", common, [earlier], []));
});

test("with other things every part is another", () => {
  const rich = printsOf({ ...earlier, things: "rich" });
  expect(printsOf(earlier).filter((print) => rich.includes(print))).toEqual([]);
});

/** Of the demo's rows and of all others, before other tables had studies: what was made then is not made again. */
const printsBefore = JSON.parse(readFileSync(new URL("../studies/fingerprints.fixture.json", import.meta.url), "utf8"));

test.each([
  ["micro", { ...demoSettings, rows: allRows }],
  ["small", settingsOf("table1", "small")],
] as const)("parts of Table 1 at scale %s keep their fingerprints", (scale, settings) => {
  const parts = planStudy(settingsSchema.parse(settings), "2.15.0");
  expect(Object.fromEntries(parts.map(({ name, fingerprint }) => [name, fingerprint]))).toEqual(printsBefore[scale]);
});

const partsOfTable = (table: "table2" | "table8", rows?: string[]) => {
  const settings = settingsOf(table, "micro");
  return planStudy(settingsSchema.parse(rows ? { ...settings, rows } : settings), "2.15.0");
};
const shared = (parts: ReturnType<typeof planStudy>) =>
  parts.map(({ name }) => name).filter((name) => !/-s\d+$/.test(name));

test("Table 8 has a tokenizer for each share of the pictures, with codes of its own; the rest is Table 1's", () => {
  const parts = partsOfTable("table8");
  expect(shared(parts)).toEqual(["data", "encoder", "text-lm", "tokenizers", "tokenizers-0.25", "codes", "codes-0.25"]);
  for (const { name, fingerprint } of parts) {
    if (["data", "encoder", "text-lm", "tokenizers", "codes", "llava-s0"].includes(name)) {
      expect(fingerprint, name).toBe(printsBefore.micro[name]);
    }
  }
  expect(parts.find(({ name }) => name === "tokenizer-3m-s0")!.needs).toEqual(["codes-0.25", "text-lm"]);
  expect(parts.find(({ name }) => name === "it-only-s0")!.needs).toEqual(["codes", "text-lm"]);
});

test("Table 2 has a language model for each shape; rows that need no other make none", () => {
  expect(shared(partsOfTable("table2"))).toEqual([
    "data",
    "encoder",
    "text-lm",
    "text-lm-mistral-shaped",
    "text-lm-13b-shaped",
    "tokenizers",
    "codes",
  ]);
  expect(shared(partsOfTable("table2", ["llava-13b", "asvr-13b"]))).toEqual([
    "data",
    "encoder",
    "text-lm-13b-shaped",
    "tokenizers",
    "codes",
  ]);
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
