import { existsSync } from "node:fs";
import { join, parse } from "node:path";
import { readSafetensorsHeader } from "@asvr/torch";
import { countBad } from "../data/faults.js";
import { resolveImage } from "../data/paths.js";
import type { RecordAnswers } from "../evaluation/ask-records.js";
import { questionsOf } from "../evaluation/questions.js";
import { evaluate } from "../evaluation/run.js";
import { templates } from "../language/conversation.js";
import { readOwnData } from "../parts/own-data.js";
import type { PartContext } from "../parts/part.js";
import type { TrainedRow } from "../parts/trained-row.js";

export interface OwnAnswers extends RecordAnswers {
  /** Pictures whose very bytes were among those that the run was tuned on: their questions are not held out. */
  seenPictures: number;
}

export interface OwnEvaluationOptions {
  data: string;
  images: string | null;
  maxBad: number;
  maxNewTokens: number;
}

/** Asks a trained run a user's questions, with the prompts that it was trained with. */
export async function evaluateOwnData(
  context: PartContext,
  row: TrainedRow,
  run: string,
  { data, images, maxBad, maxNewTokens }: OwnEvaluationOptions,
): Promise<OwnAnswers> {
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
    const learned = tunedOn(run);
    return {
      predictions,
      records: records.length,
      bad: countBad(own.faults),
      faults: own.faults,
      seenPictures: own.pictures.filter((path) => learned.has(own.hashOf(path))).length,
    };
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
