import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { listRecipes } from "./listing.js";
import { missingFor, requireRunnable } from "./missing.js";
import { recipeSchema } from "./recipe.js";
import { recipeNamed, recipeOf, rowOf, rowSteps, splitName, studyRows, tableNames, tables } from "./tables.js";

const all = listRecipes();

test("every recipe parses at each of its scales, and says where it comes from", () => {
  expect(all.length).toBeGreaterThan(40);
  for (const { name, scales, from, source } of all) {
    expect(scales).toContain("paper");
    expect(source).not.toBe("");
    if (from !== null) expect(rowOf(...splitName(from)).title).not.toBe("");
    for (const scale of scales) {
      const recipe = recipeOf(...splitName(name), scale);
      expect(recipe).toMatchObject({ name, scale });
      expect(recipeSchema.parse(JSON.parse(JSON.stringify(recipe)))).toEqual(recipe);
    }
  }
});

test("what a row is compared with is a row of its table", () => {
  for (const { name, table, against } of all) {
    if (against !== null) expect(Object.keys(tables[table as keyof typeof tables].rows), name).toContain(against);
  }
});

test("paper rows have the paper's parts", () => {
  const paper = (name: string) => recipeNamed(name, "paper");
  expect(paper("table2/asvr-13b")).toMatchObject({
    language: { backbone: "vicuna-13b-v1.5", hiddenSize: 5120, numHiddenLayers: 40 },
    supervision: { kind: "semantic" },
  });
  expect(paper("table2/llava-4m").stages.middle).toMatchObject({ learningRate: 1e-5, batchSize: 128 });
  expect(paper("table2/asvr-mistral").language).toMatchObject({ numKeyValueHeads: 8, intermediateSize: 14_336 });
  expect(paper("table3/asvr-highres").encoder.tilesAside).toBe(3);
  expect(paper("table9/asvr-siglip2")).toMatchObject({
    encoder: { checkpoint: "siglip2-so400m-patch14-384" },
    tokenizers: { semantic: { checkpoint: "vq-siglip2" } },
  });
  expect(paper("table8/tokenizer-3m").tokenizers.semantic.checkpoint).toBe("vq-siglip-3m");
  const { name: _, title: __, source: ___, ...compute } = paper("table7/13b");
  expect(paper("table2/asvr-13b")).toMatchObject(compute);
});

test("steps follow the row from which one is derived", () => {
  expect(rowSteps("table2", "asvr-2m", "micro", { pretraining: 20, tuning: 101 })).toEqual({
    pretraining: 10,
    tuning: 51,
  });
  expect(rowSteps("table1", "asvr-long", "micro", { pretraining: 20, tuning: 100 })).toEqual({
    pretraining: 20,
    tuning: 300,
  });
});

test.each([
  ["table3/asvr-highres", /table3\/asvr-highres at scale paper cannot be run yet.*tiles \(AnyRes\)/],
  ["table4/ross-vae", /denoises VAE features \(ROSS\)/],
  ["table4/ross-siglip", /denoises SigLIP features \(ROSS\)/],
  ["table9/llava-siglip2", /SigLIP 2 as the encoder/],
  ["table10/vq-dinov3", /codes of vq-dinov3 in training/],
  ["table2/asvr-4m", /a stage between pretraining and tuning/],
])("%s says what is missing when asked to run", (name, message) => {
  expect(() => requireRunnable(recipeNamed(name, "paper"))).toThrow(ConfigError);
  expect(() => requireRunnable(recipeNamed(name, "paper"))).toThrow(message);
});

test("what micro and small scale have can be run; what they have not is refused with the reason", () => {
  for (const table of tableNames) {
    for (const scale of ["micro", "small"] as const) {
      for (const name of studyRows(table, scale).values()) expect(missingFor(recipeNamed(name, scale))).toEqual([]);
    }
  }
  expect(() => recipeOf("table3", "asvr-highres", "micro")).toThrow(
    /no equivalent at scale micro: pictures .* one size/,
  );
  expect(() => recipeOf("table2", "asvr-13b", "small")).toThrow(/no equivalent at scale small/);
});
