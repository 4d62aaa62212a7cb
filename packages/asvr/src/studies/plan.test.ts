import { expect, test } from "vitest";
import { demoSettings, settingsOf, settingsSchema } from "../parts/settings.js";
import { derive } from "../recipes/recipe.js";
import { recipeOf } from "../recipes/tables.js";
import { type Part, planShared, planStudy } from "./plan.js";

const settings = settingsSchema.parse(demoSettings);
const printsOf = (parts: readonly Part[]) => new Map(parts.map(({ name, fingerprint }) => [name, fingerprint]));

const partsOfTable = (table: "table2" | "table8", rows?: string[]) => {
  const ofTable = settingsOf(table, "micro");
  return planStudy(settingsSchema.parse(rows ? { ...ofTable, rows } : ofTable));
};
const shared = (parts: readonly Part[]) => parts.map(({ name }) => name).filter((name) => !/-s\d+$/.test(name));

test("Table 8 has a tokenizer for each share of the pictures, with codes of its own; the rest is Table 1's", () => {
  const parts = partsOfTable("table8");
  expect(shared(parts)).toEqual(["data", "encoder", "text-lm", "tokenizers", "tokenizers-0.25", "codes", "codes-0.25"]);
  const demo = printsOf(planStudy(settings));
  for (const name of ["data", "encoder", "text-lm", "tokenizers", "codes", "llava-s0"]) {
    expect(printsOf(parts).get(name), name).toBe(demo.get(name));
  }
  expect(parts.find(({ name }) => name === "tokenizer-3m-s0")!.needs).toEqual(["codes-0.25", "text-lm"]);
  expect(parts.find(({ name }) => name === "it-only-s0")!.needs).toEqual(["codes", "text-lm"]);
});

test("Table 2 has a language model for each shape; rows that need no other make none", () => {
  const shaped = (label: string) => expect.stringMatching(new RegExp(`^text-lm-${label}-[0-9a-f]{8}$`));
  expect(shared(partsOfTable("table2"))).toEqual([
    ...["data", "encoder", "text-lm", shaped("mistral-shaped"), shaped("13b-shaped"), "tokenizers", "codes"],
  ]);
  expect(shared(partsOfTable("table2", ["llava-13b", "asvr-13b"]))).toEqual([
    ...["data", "encoder", shaped("13b-shaped"), "tokenizers", "codes"],
  ]);
});

test("with other things, another seed, thread count, dtype or libtorch every part is another", () => {
  const usual = [...printsOf(planStudy(settings)).values()];
  for (const other of [
    planStudy({ ...settings, world: { ...settings.world, things: "rich" } }),
    planStudy({ ...settings, sharedSeed: 1 }),
    planStudy({ ...settings, threads: 2 }),
    planStudy({ ...settings, matmul: "bfloat16" }),
    planStudy(settings, "2.14.0"),
  ]) {
    expect([...printsOf(other).values()].filter((print) => usual.includes(print))).toEqual([]);
  }
});

test("the order of a setting's keys changes no part", () => {
  const turned = Object.fromEntries(Object.entries(settings).reverse()) as unknown as typeof settings;
  expect(printsOf(planStudy(turned))).toEqual(printsOf(planStudy(settings)));
});

test("a recipe outside of the study needs the study's parts, and its own where it differs", () => {
  const base = recipeOf("table1", "asvr", "micro");
  const study = printsOf(planStudy(settings));
  for (const [name, print] of printsOf(planShared(settings, [base]))) expect(study.get(name), name).toBe(print);
  const other = planShared(settings, [derive(base, { encoder: { selectLayer: -1 } })]);
  expect(other.filter(({ name }) => !study.has(name)).map(({ name }) => name)).toEqual([
    expect.stringMatching(/^codes-[0-9a-f]{8}$/),
  ]);
});
