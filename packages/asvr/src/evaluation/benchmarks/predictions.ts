/** `predictions.jsonl`: what was asked and answered, with all that scoring needs; one question a line. */
import { open, readFile } from "node:fs/promises";
import { z } from "zod";
import { DataError } from "../../errors.js";
import type { PromptStyle } from "./benchmark.js";

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
  const lines = (await readFile(file, "utf8")).split("\n");
  const torn = lines.pop()!; // empty where the last line is whole
  const seen = new Set<string>();
  const predictions = lines.flatMap((line, index) => {
    if (line === "") return [];
    const prediction = parseLine(line, `${file}, line ${index + 1}`);
    const key = `${prediction.benchmark}/${prediction.id}`;
    if (seen.has(key)) throw new DataError(`${file}, line ${index + 1}: ${key} is answered twice. Remove one of them.`);
    seen.add(key);
    return [prediction];
  });
  // Without a newline at its end a line may still be whole, if somebody else wrote the file.
  if (torn !== "" && isWhole(torn)) predictions.push(parseLine(torn, `${file}, last line`));
  return predictions.sort((a, b) => a.place - b.place);
}

function parseLine(line: string, where: string): BenchmarkPrediction {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new DataError(`${where}: ${(error as Error).message}.`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new DataError(`${where}: ${issue!.path.join(".")}: ${issue!.message}. It is no prediction.`);
}

function isWhole(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

/** Appends predictions; each call's lines are on the disk when it returns. */
export class PredictionWriter implements AsyncDisposable {
  private constructor(private readonly handle: Awaited<ReturnType<typeof open>>) {}

  /** Opens a file, made if need be; a torn last line is cut off. */
  static async open(file: string): Promise<PredictionWriter> {
    const handle = await open(file, "a+");
    const content = await handle.readFile();
    const end = content.lastIndexOf("\n") + 1;
    if (end < content.length) {
      if (isWhole(content.toString("utf8", end))) await handle.appendFile("\n");
      else await handle.truncate(end);
    }
    return new PredictionWriter(handle);
  }

  async append(predictions: readonly BenchmarkPrediction[]): Promise<void> {
    await this.handle.appendFile(predictions.map((one) => `${JSON.stringify(one)}\n`).join(""));
    await this.handle.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }
}
