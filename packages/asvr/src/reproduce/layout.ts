import { join } from "node:path";
import type { Preprocessing } from "../data/preprocess.js";
import { siglipPreprocessing } from "../data/preprocess.js";
import { table1 } from "../recipes/table1.js";

/** How the micro scale's pictures reach its encoder: they have its size, so nothing is resampled. */
export const microPreprocessing: Preprocessing = {
  ...siglipPreprocessing,
  size: table1("llava", "micro").encoder.imageSize,
};

/** Splits whose pictures have features and codes. */
export const splits = ["train", "test-seen", "test-novel"] as const;
export type Split = (typeof splits)[number];

/** Where the parts of a study lie in its folder. */
export const layout = {
  data: (folder: string) => join(folder, "data"),
  /** Of the micro world's words. */
  textTokenizer: (folder: string) => join(folder, "data", "tokenizer.json"),
  encoder: (folder: string) => join(folder, "encoder", "encoder.safetensors"),
  tokenizer: (folder: string, kind: "semantic" | "appearance") => join(folder, "tokenizers", `${kind}.safetensors`),
  languageModel: (folder: string) => join(folder, "text-lm", "language.safetensors"),
  /** A language model that others published, with its tokenizer, in the place of one that was trained here. */
  publishedModel: (folder: string) => join(folder, "text-lm", "language.gguf"),
  codes: (folder: string, split: Split) => join(folder, "codes", `${split}.safetensors`),
  row: (folder: string, row: string, seed: number) => join(folder, `${row}-s${seed}`),
};
