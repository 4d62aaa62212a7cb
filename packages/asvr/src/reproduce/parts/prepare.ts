import { join } from "node:path";
import { manualSeed } from "@asvr/torch";
import { loadRecords } from "../../data/records.js";
import { buildSamples, type Sample } from "../../data/samples.js";
import { templates } from "../../language/conversation.js";
import { TextTokenizer } from "../../language/tokenizer.js";
import { buildVisionLanguageModel } from "../../model/build.js";
import type { VisionLanguageModel } from "../../model/lvlm.js";
import type { Recipe, Stage } from "../../recipes/recipe.js";
import { VisionLanguageObjective } from "../../training/objectives/vision-language.js";
import { layout } from "../layout.js";
import { loadVisualCache } from "./codes.js";
import { type FrozenParts, loadFrozenParts, loadWeights } from "./load.js";
import type { PartContext } from "./part.js";

export type StageName = keyof Recipe["stages"];

/** A row's model before its first step, and its stages as something to train. */
export interface PreparedRow {
  model: VisionLanguageModel;
  tokenizer: TextTokenizer;
  parts: FrozenParts;
  imageTokens: number;
  objective: (stage: StageName) => Promise<VisionLanguageObjective>;
  [Symbol.dispose](): void;
}

/** Builds the model of a recipe on the parts that the rows share. The same seed gives equal parts the same start. */
export async function prepareRow({ folder, settings }: PartContext, recipe: Recipe): Promise<PreparedRow> {
  const tokenizer = TextTokenizer.fromFile(layout.textTokenizer(folder));
  const parts = loadFrozenParts(folder, recipe);
  const imageTokens = parts.encoder.positions;
  manualSeed(recipe.seed);
  const model = buildVisionLanguageModel(recipe, tokenizer.vocabSize, parts);
  loadWeights(model.language, layout.languageModel(folder));
  const visual = await loadVisualCache(folder, "train", recipe, parts);

  const readStage = async ({ data, template }: Stage) => {
    const file = join(layout.data(folder), `${data}.json`);
    const { records } = await loadRecords(file, { imagesFolder: layout.data(folder) });
    const options = { tokenizer, template: templates[template], imageTokens, maxLength: 256, imageRef };
    return buildSamples(records, { file, ...options }).samples;
  };
  const read = new Map<StageName, Sample[]>();
  const objective = async (stage: StageName) => {
    const { trainable, batchSize, supervised } = recipe.stages[stage];
    if (!read.has(stage)) read.set(stage, await readStage(recipe.stages[stage]));
    return new VisionLanguageObjective(model, {
      samples: read.get(stage)!,
      visual,
      trainable,
      batchSize,
      samplesPerImage: settings.world.questionsPerImage,
      supervised,
      visionWeight: recipe.supervision.weight,
      imageTokens,
      seed: recipe.seed,
    });
  };
  const dispose = () => {
    for (const owned of [model, visual, ...Object.values(parts)]) owned.dispose();
  };
  return { model, tokenizer, parts, imageTokens, objective, [Symbol.dispose]: dispose };
}

/** Pictures are known by their path in the data folder, as in the cache of features and codes. */
export function imageRef(image: string): { key: string } {
  return { key: image };
}
