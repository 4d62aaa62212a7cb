import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { tidy } from "@asvr/torch";
import { packSamples, planRows } from "../data/packing.js";
import type { Sample } from "../data/samples.js";
import { writeWhole } from "../files.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import { generate } from "../model/generation.js";
import type { VisionLanguageModel } from "../model/lvlm.js";
import type { VisualCache } from "../model/visual-cache.js";
import type { Prediction } from "../runs/run-folder.js";
import { predictionOf, type TestQuestion } from "./questions.js";
import { groupBy } from "./record-scores.js";

export interface EvaluateOptions {
  model: VisionLanguageModel;
  tokenizer: TextTokenizer;
  questions: readonly TestQuestion[];
  /** Null where no question shows a picture. */
  visual: VisualCache | null;
  imageTokens: number;
  /** Pictures whose questions are answered side by side. */
  batchPictures: number;
  maxNewTokens: number;
  device: string;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** Answers every question greedily, up to the end token, and holds it against the record's answer by exact match. */
export async function evaluate(options: EvaluateOptions): Promise<Prediction[]> {
  const { questions, tokenizer, onProgress, signal } = options;
  const byPicture = groupBy(questions, ({ prompt }) => pictureOf(prompt));
  const pictures = [...byPicture.values()];
  const predictions = new Map<string, Prediction>();
  for (let start = 0; start < pictures.length; start += options.batchPictures) {
    const asked = pictures.slice(start, start + options.batchPictures).flat();
    const answers = answer(asked, options);
    for (const { record } of asked) {
      const text = tokenizer.decode(answers.get(record.id)!, { skipSpecialTokens: true });
      predictions.set(record.id, predictionOf(record, text));
    }
    onProgress?.(predictions.size, questions.length);
    await new Promise(setImmediate);
    signal?.throwIfAborted();
  }
  return questions.map(({ record }) => predictions.get(record.id)!);
}

/** Token ids of the answers, by record id. */
function answer(
  asked: readonly TestQuestion[],
  { model, visual, imageTokens, maxNewTokens, tokenizer, device }: EvaluateOptions,
): Map<string, number[]> {
  const prompts = asked.map(({ prompt }) => prompt);
  const whole = { capacity: Number.MAX_SAFE_INTEGER, imageTokens, compact: true };
  // A row a picture: as long as the longest of them.
  const longest = Math.max(
    ...[...groupBy(prompts, pictureOf).values()].map((group) => planRows(group, whole)[0]!.length),
  );
  const packed = packSamples(prompts, { ...whole, capacity: longest });
  return tidy(() => {
    const keys = packed.images.map(({ ref }) => ref.key);
    const features = keys.length > 0 ? visual!.batch(keys).features : null;
    const ids = generate(model, packed, features, { eosId: tokenizer.eosId, maxNewTokens, device });
    return new Map(packed.sampleIds.map((id, index) => [id, ids[index]!]));
  });
}

function pictureOf({ image, id }: Sample): string {
  return image?.key ?? id;
}

/** One prediction a line; the file is whole or, after a crash, the one before. */
export async function writePredictions(file: string, predictions: readonly Prediction[]): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const lines = predictions.map((prediction) => `${JSON.stringify(prediction)}\n`);
  await writeWhole(file, lines.join(""));
}
