/** A judge's part in scoring: its verdicts on stored answers, kept beside them. */
import { existsSync } from "node:fs";
import { z } from "zod";
import { DataError } from "../../errors.js";
import type { Answerer } from "./answerer.js";
import type { JudgedProtocol } from "./benchmark.js";
import { type JsonLine, JsonLineWriter, readJsonLines } from "./json-lines.js";
import type { BenchmarkPrediction } from "./predictions.js";

/** A prediction of a run that was judged. */
export interface JudgedPrediction extends BenchmarkPrediction {
  judged?: {
    judge: string;
    /** null: the judge's reply says nothing; absent where the rules are enough. */
    verdict?: string | null;
  };
}

const judgement = z.object({
  benchmark: z.string(),
  id: z.string(),
  /** Who judged, by name and address. */
  judge: z.string(),
  prompt: z.string(),
  /** As the judge gave it. */
  reply: z.string(),
  /** Why the judge did not take it. */
  refused: z.string().optional(),
  /** What the reply means; null: unreadable, and worth nothing. */
  verdict: z.string().nullable(),
});
type Judgement = z.infer<typeof judgement>;

export interface JudgeOptions {
  /** `judge.jsonl`: what is in it is not asked again. */
  file: string;
  /** The judge's name in protocols. */
  name: string;
  signal?: AbortSignal;
  onProgress?: (progress: { done: number; total: number }) => void;
}

const REPLY_TOKENS = 512; // some judges think aloud
const BATCH = 64;

/**
 * Predictions of one benchmark with verdicts on those that its judged protocol asks about. Each is in the file as soon as
 * it is there, with the prompt and the judge's own words.
 * @throws DataError when the file holds something else; what the judge's answerer throws
 */
export async function judgePredictions(
  predictions: readonly BenchmarkPrediction[],
  protocol: JudgedProtocol<object>,
  judge: Answerer,
  { file, name, signal, onProgress }: JudgeOptions,
): Promise<JudgedPrediction[]> {
  const prompts = new Map<string, string>();
  for (const { id, answer, question, refused, gold } of predictions) {
    if (refused !== undefined || gold === null) continue;
    const prompt = protocol.ask(answer, question, protocol.read(answer, question));
    if (prompt !== undefined) prompts.set(id, prompt);
  }
  const byId = new Map(predictions.map((prediction) => [prediction.id, prediction]));
  const verdicts = new Map<string, string | null>();
  const before = existsSync(file) ? (await readJsonLines(file)).map(judgementOf) : [];
  for (const { benchmark, id, judge: who, prompt, verdict } of before) {
    const isOurs = byId.get(id)?.benchmark === benchmark && who === judge.name && prompts.get(id) === prompt;
    if (isOurs) verdicts.set(id, verdict);
  }
  const open = [...prompts].filter(([id]) => !verdicts.has(id));
  if (open.length > 0) {
    await using writer = await JsonLineWriter.open(file);
    for (let from = 0; from < open.length; from += BATCH) {
      onProgress?.({ done: verdicts.size, total: prompts.size });
      const asked = open.slice(from, from + BATCH);
      const requests = asked.map(([id, prompt]) => ({ id, prompt, pictures: [], maxNewTokens: REPLY_TOKENS }));
      for await (const { id, text: reply, refused } of judge.answer(requests, signal)) {
        const { benchmark, question } = byId.get(id)!;
        const verdict = (refused === undefined ? protocol.verdict(reply, question) : undefined) ?? null;
        const told = { benchmark, id, judge: judge.name, prompt: prompts.get(id)!, reply, verdict };
        await writer.append([{ ...told, ...(refused !== undefined && { refused }) } satisfies Judgement]);
        verdicts.set(id, verdict);
      }
    }
    onProgress?.({ done: verdicts.size, total: prompts.size });
  }
  return predictions.map((prediction) => {
    const verdict = verdicts.get(prediction.id);
    return { ...prediction, judged: { judge: name, ...(verdict !== undefined && { verdict }) } };
  });
}

function judgementOf({ value, where }: JsonLine): Judgement {
  const parsed = judgement.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new DataError(`${where}: ${issue!.path.join(".")}: ${issue!.message}. It is no verdict.`);
}
