import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Preprocessing } from "../data/preprocess.js";
import { siglipPreprocessing } from "../data/preprocess.js";
import { ConfigError } from "../errors.js";
import { readText } from "../files.js";
import { baselines } from "../recipes/baselines.js";
import type { Recipe } from "../recipes/recipe.js";
import { labelledParts, type PartKind, partsOf } from "./identity.js";

/** How the micro scale's pictures reach its encoder: they have its size, so nothing is resampled. */
export const microPreprocessing: Preprocessing = {
  ...siglipPreprocessing,
  size: baselines.micro.encoder.imageSize,
};

/** Splits whose pictures have features and codes. */
export const splits = ["train", "test-seen", "test-novel"] as const;
export type Split = (typeof splits)[number];

/** Where the parts of a study lie in its folder. */
export const layout = {
  data: (folder: string) => join(folder, "data"),
  /** Of the micro world's words. */
  textTokenizer: (folder: string) => join(folder, "data", "tokenizer.json"),
  /** A language model that others published, with its tokenizer, in the place of one that was trained here. */
  publishedModel: (folder: string) => join(folder, "text-lm", "language.gguf"),
  row: (folder: string, row: string, seed: number) => join(folder, `${row}-s${seed}`),
};

/** The files of a part, in the part's folder. */
export const files = {
  encoder: "encoder.safetensors",
  languageModel: "language.safetensors",
  tokenizer: (kind: "semantic" | "appearance") => `${kind}.safetensors`,
  codes: (split: Split) => `${split}.safetensors`,
};

/** Whether a study has a part whose record does not say what it was made from. */
function isOfEarlierVersion(study: string, part: string): boolean {
  const record = join(study, "parts", `${part}.json`);
  return existsSync(record) && !("reads" in JSON.parse(readText(record)));
}

/**
 * The folder of a part that a recipe is trained from.
 * @param recipe of a row of a study from before parts were named by what made them, its folder has the label alone
 * @throws ConfigError when the study does not have the part
 */
export function partFolder(study: string, recipe: Recipe, kind: PartKind): string {
  const name = partsOf(recipe)[kind];
  const place = join(study, name);
  if (existsSync(place)) return place;
  const labelled = labelledParts(recipe)[kind];
  if (recipe.startFrom === null && isOfEarlierVersion(study, labelled)) return join(study, labelled);
  throw new ConfigError(
    `${recipe.name} was trained with the part ${name}, which the study ${study} does not have: it was deleted, or never made`,
  );
}
