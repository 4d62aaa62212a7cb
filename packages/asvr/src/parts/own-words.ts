import { existsSync } from "node:fs";
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readRecords } from "../data/records.js";
import { readText, writeJson } from "../files.js";
import type { buildTokenizer } from "../micro/tokenizer.js";
import { MOST_NEW_WORDS, withWords } from "../micro/vocabulary.js";
import type { Recipe } from "../recipes/recipe.js";
import { latestCheckpoint } from "../training/checkpoint.js";
import { layout } from "./layout.js";
import type { Start } from "./start.js";

/** The text tokenizer of words of a run: its own where it has one, else that of the study. */
export function tokenizerFile(study: string, run: string): string {
  const own = join(run, "tokenizer.json");
  return existsSync(own) ? own : layout.textTokenizer(study);
}

/**
 * Gives a run its text tokenizer: that of where it starts, with the words of its own data. Ids must not change after a
 * step; until then the data may still be repaired.
 */
export async function writeTokenizer(out: string, { data }: Recipe, start: Start): Promise<void> {
  const file = join(out, "tokenizer.json");
  if (existsSync(file) && (await latestCheckpoint(out))) return;
  // A published language model spells any word with the tokens that it has.
  if (existsSync(layout.publishedModel(start.study))) return;
  await mkdir(out, { recursive: true });
  const from = tokenizerFile(start.study, start.run ?? start.study);
  const known = JSON.parse(readText(from)) as ReturnType<typeof buildTokenizer>;
  const texts: string[] = [];
  for (const own of [data.captions, data.tuning]) if (own !== null) texts.push(...(await textsOf(own, data.images)));
  await copyFile(join(dirname(from), "tokenizer_config.json"), join(out, "tokenizer_config.json"));
  await writeJson(file, withWords(known, texts, MOST_NEW_WORDS)); // last: with it the run has its own
}

/** What is said in the good records of a file. */
export async function textsOf(file: string, images: string | null): Promise<string[]> {
  const { records } = await readRecords(file, images === null ? {} : { imagesFolder: images });
  return records.flatMap(({ context, conversations }) => [
    ...(context === undefined ? [] : [context]),
    ...conversations.map(({ value }) => value),
  ]);
}
