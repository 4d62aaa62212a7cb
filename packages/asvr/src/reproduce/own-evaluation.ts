import { existsSync } from "node:fs";
import { join, parse, resolve } from "node:path";
import { readSafetensorsHeader } from "@asvr/torch";
import { countBad, type Fault } from "../data/faults.js";
import { resolveImage } from "../data/paths.js";
import { questionsOf } from "../evaluation/questions.js";
import { type RecordScores, scoreRecords } from "../evaluation/record-scores.js";
import { evaluate, writePredictions } from "../evaluation/run.js";
import { templates } from "../language/conversation.js";
import { readOwnData } from "./parts/own-data.js";
import { type PartContext, writeJson } from "./parts/part.js";
import type { TrainedRow } from "./trained-row.js";

export interface OwnScores extends RecordScores {
  run: string;
  data: string;
  images: string | null;
  /** Good records of the file, and those that were left out: each of their faults. */
  records: number;
  bad: number;
  faults: Fault[];
  /** Pictures whose very bytes were among those that the run was tuned on: their questions are not held out. */
  seenPictures: number;
}

export interface OwnEvaluationOptions {
  data: string;
  images: string | null;
  /** Names the folder of answers and scores in the run's. */
  name: string;
  maxBad: number;
  maxNewTokens: number;
}

/**
 * Asks a trained run a user's questions and holds its answers against theirs. Writes `evaluation/NAME/predictions.jsonl`
 * and `scores.json` to the run's folder.
 */
export async function evaluateOwnData(
  context: PartContext,
  row: TrainedRow,
  run: string,
  { data, images, name, maxBad, maxNewTokens }: OwnEvaluationOptions,
): Promise<OwnScores> {
  const { recipe, tokenizer, parts, imageTokens, model } = row;
  const template = templates[recipe.stages.tuning.template];
  const own = await readOwnData(context, {
    file: data,
    images,
    recipe,
    parts,
    tokenizer,
    template,
    imageTokens,
    codesFile: null,
    maxBad,
  });
  const { records, visual } = own;
  const imageRef = (image: string) => ({ key: resolveImage(images!, image) });
  const questions = records.flatMap((record) => questionsOf(record, tokenizer, template, imageRef));
  try {
    const predictions = await evaluate({
      model,
      tokenizer,
      questions,
      visual,
      imageTokens,
      batchPictures: context.settings.evaluationBatch,
      maxNewTokens,
      device: context.device,
      signal: context.signal,
      onProgress: (done, total) => context.onProgress({ phase: `answering ${parse(data).base}`, done, total }),
    });
    const out = join(run, "evaluation", name);
    await writePredictions(join(out, "predictions.jsonl"), predictions);
    const learned = tunedOn(run);
    const scores: OwnScores = {
      run,
      data: resolve(data),
      images: images === null ? null : resolve(images),
      records: records.length,
      bad: countBad(own.faults),
      faults: own.faults,
      seenPictures: own.pictures.filter((path) => learned.has(own.hashOf(path))).length,
      ...scoreRecords(predictions),
    };
    await writeJson(join(out, "scores.json"), scores);
    return scores;
  } finally {
    visual?.dispose();
  }
}

/** SHA-256 of the pictures that a run was tuned on, where they were a user's own. */
function tunedOn(run: string): Set<string> {
  const file = join(run, "codes", "tuning.safetensors");
  if (!existsSync(file)) return new Set();
  return new Set(JSON.parse(readSafetensorsHeader(file).metadata.keys!) as string[]);
}
