import { join } from "node:path";
import type { Preprocessing } from "../data/preprocess.js";
import { siglipPreprocessing } from "../data/preprocess.js";
import { baselines } from "../recipes/baselines.js";
import type { Recipe } from "../recipes/recipe.js";

/** How the micro scale's pictures reach its encoder: they have its size, so nothing is resampled. */
export const microPreprocessing: Preprocessing = {
  ...siglipPreprocessing,
  size: baselines.micro.encoder.imageSize,
};

/** Splits whose pictures have features and codes. */
export const splits = ["train", "test-seen", "test-novel"] as const;
export type Split = (typeof splits)[number];

/** The shared parts that a recipe is trained from: what a recipe has of its own is made by a part of its own. */
export function partsOf({ language, tokenizers }: Pick<Recipe, "language" | "tokenizers">) {
  const own = (part: string, name: string | number | undefined) => (name === undefined ? part : `${part}-${name}`);
  return {
    languageModel: own("text-lm", language.backbone),
    tokenizers: own("tokenizers", tokenizers.dataShare),
    codes: own("codes", tokenizers.dataShare),
  };
}

type Named = Parameters<typeof partsOf>[0];

/** Where the parts of a study lie in its folder. */
export const layout = {
  data: (folder: string) => join(folder, "data"),
  /** Of the micro world's words. */
  textTokenizer: (folder: string) => join(folder, "data", "tokenizer.json"),
  encoder: (folder: string) => join(folder, "encoder", "encoder.safetensors"),
  tokenizer: (folder: string, recipe: Named, kind: "semantic" | "appearance") =>
    join(folder, partsOf(recipe).tokenizers, `${kind}.safetensors`),
  languageModel: (folder: string, recipe: Named) => join(folder, partsOf(recipe).languageModel, "language.safetensors"),
  /** A language model that others published, with its tokenizer, in the place of one that was trained here. */
  publishedModel: (folder: string) => join(folder, "text-lm", "language.gguf"),
  codes: (folder: string, recipe: Named, split: Split) => join(folder, partsOf(recipe).codes, `${split}.safetensors`),
  row: (folder: string, row: string, seed: number) => join(folder, `${row}-s${seed}`),
};
