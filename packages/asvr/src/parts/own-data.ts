import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join, parse } from "node:path";
import { type Dataset, readDataset } from "../data/dataset.js";
import { countBad, countKinds, requireWithinBudget } from "../data/faults.js";
import { decodeImage } from "../data/images.js";
import { ConfigError } from "../errors.js";
import { readText, writeJson } from "../files.js";
import { type ConversationTemplate, templates } from "../language/conversation.js";
import { TextTokenizer } from "../language/tokenizer.js";
import { buildTokenizer, buildTokenizerConfig } from "../micro/tokenizer.js";
import type { VisualCache } from "../model/visual-cache.js";
import type { Recipe } from "../recipes/recipe.js";
import type { FrozenParts } from "./load.js";
import { PictureEncoder } from "./own-pictures.js";
import type { PartContext } from "./part.js";

export interface OwnData extends Dataset {
  /** What the model reads of their pictures; null where no record has one. */
  visual: VisualCache | null;
  /** SHA-256 of each picture's bytes, by path. */
  hashOf: (path: string) => string;
}

export interface OwnDataOptions {
  file: string;
  /** Folder of the pictures; null for text alone. */
  images: string | null;
  recipe: Recipe;
  parts: FrozenParts;
  tokenizer: TextTokenizer;
  template: ConversationTemplate;
  imageTokens: number;
  /** Keeps features and codes, so that the next call does not make them again; null: not kept. */
  codesFile: string | null;
  /** How many faulty records may be left out. */
  maxBad: number;
}

/**
 * Reads a user's records, checks them and encodes their pictures.
 * @throws DataError when more than `maxBad` are faulty, or none is left
 */
export async function readOwnData(context: PartContext, options: OwnDataOptions): Promise<OwnData> {
  const { file, images, recipe, parts, tokenizer, template, imageTokens, maxBad } = options;
  const { onProgress, signal } = context;
  const name = parse(file).base;
  using encoder = await PictureEncoder.open(context.folder, parts, recipe, options.codesFile);
  let dataset: Dataset;
  try {
    dataset = await readDataset(file, {
      ...(images !== null && { imagesFolder: images }),
      duplicateIds: "fault",
      samples: { tokenizer, template, imageTokens, maxLength: recipe.data.maxLength },
      lookAt: (path) => encoder.add(path),
      onProgress: (done, total) => onProgress({ phase: `pictures of ${name}`, done, total }),
      signal,
    });
  } finally {
    await encoder.save(); // also when it is stopped: the next call goes on from here
  }
  requireWithinBudget(dataset.faults, dataset.total, maxBad, `records of ${file}`);
  requireSome(file, dataset.records);
  return { ...dataset, visual: encoder.cache(dataset.pictures), hashOf: (path) => encoder.hashOf(path) };
}

/**
 * Looks at a user's records and pictures before there are parts to encode them with: what is wrong with them is told
 * before a study is made for them. A record's length is told by the tokenizer of the run alone, which comes later.
 * @throws DataError as `readOwnData` does
 */
export async function checkOwnData(
  file: string,
  { data, stages }: Recipe,
  { maxBad, onProgress, signal }: Pick<PartContext, "onProgress" | "signal"> & { maxBad: number },
): Promise<void> {
  const used = Object.values(stages).filter((stage) => stage && data[stage.data] === file);
  const tokenizer = new TextTokenizer(buildTokenizer(), buildTokenizerConfig());
  const template = templates[used[0]?.template ?? "micro"];
  const { faults, total, records } = await readDataset(file, {
    ...(data.images !== null && { imagesFolder: data.images }),
    duplicateIds: "fault",
    samples: { tokenizer, template, imageTokens: 0, maxLength: Number.POSITIVE_INFINITY },
    lookAt: async (path) => void (await decodeImage(path)),
    onProgress: (done, total) => onProgress({ phase: `looking at pictures of ${parse(file).base}`, done, total }),
    signal,
  });
  requireWithinBudget(faults, total, maxBad, `records of ${file}`);
  requireSome(file, records);
}

function requireSome(file: string, records: readonly unknown[]): void {
  if (records.length === 0) throw new ConfigError(`${file} has no record to learn from or to ask about`);
}

/** What a run noted of its data when it began: the same run must not go on with other data. */
export interface DataNote {
  file: string;
  /** Of the records and of their pictures. */
  sha256: string;
  records: number;
  pictures: number;
  /** Records that were left out. */
  bad: number;
  faults: Dataset["faults"];
}

/**
 * Writes what was read, with every record that was left out and why, to `data/STAGE.json` of the run folder.
 * @param isBegun whether the stage has made a step: until then its data may still be repaired
 * @returns a sentence about it
 * @throws ConfigError when the stage began with other data
 */
export async function noteData(
  out: string,
  stage: string,
  { file, data, isBegun }: { file: string; data: OwnData; isBegun: boolean },
): Promise<string> {
  const hash = createHash("sha256").update(await readFile(file));
  for (const picture of data.pictures) hash.update(data.hashOf(picture));
  const note: DataNote = {
    file,
    sha256: hash.digest("hex"),
    records: data.records.length,
    pictures: data.pictures.length,
    bad: countBad(data.faults),
    faults: data.faults,
  };
  const path = join(out, "data", `${stage}.json`);
  if (isBegun && existsSync(path)) {
    const begun = JSON.parse(readText(path)) as DataNote;
    if (begun.sha256 !== note.sha256) {
      throw new ConfigError(
        `${out} was begun with other data: ${file} or one of its pictures has changed since. Choose another folder with --out.`,
      );
    }
  }
  await mkdir(dirname(path), { recursive: true });
  await writeJson(path, note);
  const left = note.bad > 0 ? `; ${note.bad} left out (${countKinds(data.faults)}), listed in ${path}` : "";
  return `${file}: ${note.records} records, ${note.pictures} pictures${left}`;
}
