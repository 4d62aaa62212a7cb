import { manualSeed } from "@asvr/torch";
import { TextTokenizer } from "../language/tokenizer.js";
import { Projector } from "../layers/projector.js";
import { buildTokenizer, buildTokenizerConfig } from "../micro/tokenizer.js";
import { buildEncoder, buildLanguageModel } from "../model/build.js";
import { VisionLanguageModel } from "../model/lvlm.js";
import type { FrozenParts } from "../parts/load.js";
import { ownPreprocessing } from "../parts/own-pictures.js";
import type { TrainedRow } from "../parts/trained-row.js";
import { derive, type Recipe } from "../recipes/recipe.js";
import { recipeOf } from "../recipes/tables.js";
import { runAsLlava } from "./run-llava.js";
import { type ExportSource, hubFiles } from "./source.js";

/** A row of the micro experiment before its first step, without the tokenizers that only training needs. */
export function untrainedRow(change: Parameters<typeof derive>[1] = {}): Disposable &
  Pick<TrainedRow, "recipe" | "model" | "tokenizer"> & {
    parts: FrozenParts;
    words: { tokenizer: string; config: ReturnType<typeof buildTokenizerConfig> };
  } {
  manualSeed(3);
  const recipe: Recipe = derive(recipeOf("table1", "llava", "micro"), change);
  const [json, config] = [buildTokenizer(), buildTokenizerConfig()];
  const tokenizer = new TextTokenizer(json, config);
  const encoder = buildEncoder(recipe);
  const model = new VisionLanguageModel({
    language: buildLanguageModel(recipe, tokenizer.vocabSize),
    projector: new Projector(recipe.encoder.hiddenSize, recipe.language.hiddenSize),
    supervision: null,
  });
  return {
    recipe,
    tokenizer,
    model,
    parts: { encoder } as FrozenParts,
    words: { tokenizer: JSON.stringify(json), config },
    [Symbol.dispose]() {
      model.dispose();
      encoder.dispose();
    },
  };
}

/** That row as an export takes it. The row must outlive it. */
export function sourceOf(row: ReturnType<typeof untrainedRow>): ExportSource {
  const model = runAsLlava(row);
  const files = hubFiles(row, model, row.words);
  return {
    model,
    files,
    tokenizer: row.tokenizer,
    preprocessing: () => ownPreprocessing(row.recipe),
    head: null,
    [Symbol.dispose]: () => model.dispose(),
  };
}
