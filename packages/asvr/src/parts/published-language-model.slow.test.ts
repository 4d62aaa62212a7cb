import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory, setThreads, tidy } from "@asvr/torch";
import { afterAll, expect, test } from "vitest";
import { smollm2File } from "../checkpoints/gguf/smollm2-file.js";
import { buildLanguageModel, buildVisionLanguageModel } from "../model/build.js";
import { loadFirstWeights } from "./first-weights.js";
import type { PartContext } from "./part.js";
import { takePublished, textTokenizerOf } from "./published-language-model.js";
import { demoSettings, smallSettings, studyRecipe } from "./settings.js";

setThreads(1); // test files run side by side
const study = mkdtempSync(join(tmpdir(), "asvr-published-"));
const before = memory().tensors;
afterAll(() => {
  rmSync(study, { recursive: true });
  expect(memory().tensors).toBe(before);
});

const context = (settings: PartContext["settings"]): PartContext => ({
  ...{ folder: study, settings, device: "cpu" },
  ...{ signal: new AbortController().signal, onProgress: () => {} },
});

test.skipIf(!smollm2File())("a row of the small scale begins with the published model and its tokenizer", async () => {
  expect(await takePublished(context(smallSettings), studyRecipe(smallSettings))).toMatch(/SmolLM2/);
  const tokenizer = textTokenizerOf(study, join(study, "llava-s0"));
  expect(tokenizer.decode(tokenizer.encode("what is at top-left ?"))).toBe("what is at top-left ?");
  expect(tokenizer.encode("<|im_end|>")).toEqual([tokenizer.eosId]);
  const recipe = studyRecipe(smallSettings);
  const noTokenizers = { semantic: null as never, appearance: null as never };
  using model = buildVisionLanguageModel(recipe, tokenizer.vocabSize, noTokenizers);
  await loadFirstWeights(model, recipe, { study, tokenizer });
  const embedding = model.language.model.embedTokens.weight;
  expect(embedding.shape).toEqual([49_152, 576]);
  const first = tidy(() => embedding.select(0, 0).narrow(0, 0, 1).item());
  expect(first).toBeCloseTo(-0.10654449462890625, 7); // as ggml decodes the file
});

test.skipIf(!smollm2File())("a recipe of other sizes is refused", async () => {
  const published = { ...demoSettings, languageModel: { published: "smollm2" as const } };
  await expect(takePublished(context(published), studyRecipe(demoSettings))).rejects.toThrow(
    /its hiddenSize is 576, but the recipe's language\.hiddenSize is 128/,
  );
});

test("the small scale has SmolLM2's shape, and reads features as they are", () => {
  const recipe = studyRecipe(smallSettings);
  expect(recipe.normaliseFeatures).toBe(false);
  expect(recipe.stages.tuning.template).toBe("smollm2");
  using language = buildLanguageModel(recipe, 49_152);
  expect(language.parameterCount()).toBe(134_515_008);
});
