/** `predictions.jsonl`: what was asked and answered, with all that scoring needs; one question a line. */
import { z } from "zod";
import { DataError } from "../../errors.js";
import type { PromptStyle } from "./benchmark.js";
import { type JsonLine, readJsonLines } from "./json-lines.js";

const schema = z.object({
  benchmark: z.string(),
  id: z.string(),
  /** Row in the published split, from 0: the order of the file is that in which answers came. */
  place: z.number().int().min(0),
  /** The user turn, a mark for each picture in it. */
  prompt: z.string(),
  style: z.enum(["default", "cambrian", "lmms-eval", "llava"] satisfies PromptStyle[]),
  /** Key of the first picture: where it is equal the content is. */
  picture: z.string(),
  /** What hangs together with it, and is resampled as a whole. */
  group: z.string(),
  /** As the model gave it. */
  answer: z.string(),
  /** Why the model did not take the question; its answer is empty then, and worth nothing by every protocol. */
  refused: z.string().optional(),
  /** Tokens that the answer was allowed, where these are not the benchmark's own number. */
  maxNewTokens: z.number().int().min(1).optional(),
  /** What the default protocol takes it for; null: unreadable. */
  extracted: z.string().nullable(),
  /** The right answer in words; null in a split without answers. */
  gold: z.string().nullable(),
  /** By the default protocol, 0 to 1; null without a right answer. */
  score: z.number().nullable(),
  /** The question as its benchmark defines it: every protocol scores from this. */
  question: z.looseObject({}),
});

export type BenchmarkPrediction = z.infer<typeof schema>;

/**
 * The predictions of a file. A last line that breaks off (the machine stopped while it was written) is left out.
 * @throws DataError that names the line for anything else that is no prediction, and for a question answered twice
 */
export async function readPredictions(file: string): Promise<BenchmarkPrediction[]> {
  const seen = new Set<string>();
  const predictions = (await readJsonLines(file)).map((line) => {
    const prediction = predictionOf(line);
    const key = `${prediction.benchmark}/${prediction.id}`;
    if (seen.has(key)) throw new DataError(`${line.where}: ${key} is answered twice. Remove one of them.`);
    seen.add(key);
    return prediction;
  });
  return predictions.sort((a, b) => a.place - b.place);
}

function predictionOf({ value, where }: JsonLine): BenchmarkPrediction {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new DataError(`${where}: ${issue!.path.join(".")}: ${issue!.message}. It is no prediction.`);
}
