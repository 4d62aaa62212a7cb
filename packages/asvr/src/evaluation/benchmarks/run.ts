/** Asks a benchmark's questions: in batches, one picture's together, and from where an earlier run stopped. */
import { existsSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError, DataError } from "../../errors.js";
import { readText, writeJson } from "../../files.js";
import { groupBy } from "../record-scores.js";
import { strip } from "../scoring/python-text.js";
import type { Answer, Answerer, AnswerRequest } from "./answerer.js";
import { type Benchmark, type PromptStyle, tokenLimit, userTurn } from "./benchmark.js";
import { type BenchmarkQuestion, type LoadedBenchmark, missingFrom } from "./data/load.js";
import { JsonLineWriter } from "./json-lines.js";
import { type BenchmarkPrediction, readPredictions } from "./predictions.js";
import { grade } from "./score.js";

export interface Shard {
  /** From 0. */
  index: number;
  count: number;
}

export interface RunOptions {
  /** Folder of the answers: `run.json`, and `predictions.jsonl` or one such file a shard. */
  folder: string;
  style?: PromptStyle;
  /** Tokens of an answer, instead of the benchmark's own number: a deviation, which every score says. */
  maxNewTokens?: number;
  /** Questions that an answerer is given at once. */
  batch?: number;
  /** A part of the questions, for several processes. */
  shard?: Shard;
  signal?: AbortSignal;
  onProgress?: (progress: RunProgress) => void;
}

export interface RunProgress {
  done: number;
  /** Of `done`: what the model did not take. */
  refused: number;
  total: number;
  /** Absent until something was answered. */
  secondsLeft?: number;
}

/** What a run's folder says about itself. */
const manifest = z.object({
  benchmark: z.string(),
  split: z.string(),
  answerer: z.string(),
  style: z.string(),
  maxNewTokens: z.number(),
  questions: z.number(),
  /** Why these are not all questions of the benchmark. */
  missing: z.array(z.string()),
});
export type RunManifest = z.infer<typeof manifest>;

/** Answers are on the disk at least this often. */
const FLUSH_SECONDS = 1;

/**
 * Asks what the folder has no answer to yet; each answer is kept as it comes, a refusal too: it isn't asked again.
 * @returns how many questions (of the shard) have an answer now
 * @throws ConfigError when the folder was begun with another model, prompt style or data; what the answerer throws; the
 * signal's reason when it fires
 */
export async function runBenchmark(loaded: LoadedBenchmark, answerer: Answerer, options: RunOptions): Promise<number> {
  const { benchmark, questions, coverage } = loaded;
  const { folder, style = "default", batch = 64, shard = { index: 0, count: 1 }, signal, onProgress } = options;
  const { maxNewTokens = tokenLimit(benchmark, style) } = options;
  await mkdir(folder, { recursive: true });
  await beginManifest(folder, {
    benchmark: benchmark.name,
    split: loaded.split,
    answerer: answerer.name,
    style,
    maxNewTokens,
    questions: questions.length,
    missing: missingFrom(coverage),
  });
  const mine = shardOf(questions, shard);
  const file = join(folder, fileOfShard(shard));
  const prompts = new Map(
    mine.map(({ id, question, pictures }) => [id, userTurn(benchmark, question, style, pictures.length)]),
  );
  const before = existsSync(file) ? await readPredictions(file) : [];
  requireSamePrompts(before, prompts, file);
  const known = new Set(before.map(({ id }) => id));
  const open = mine.filter(({ id }) => !known.has(id));
  const byId = new Map(open.map((question) => [question.id, question]));

  await using writer = await JsonLineWriter.open(file);
  let kept = known.size;
  let refused = before.filter((prediction) => prediction.refused !== undefined).length;
  let waiting: BenchmarkPrediction[] = [];
  let lastFlush = Date.now();
  const started = Date.now();
  const flush = async () => {
    if (waiting.length > 0) await writer.append(waiting);
    kept += waiting.length;
    refused += waiting.filter((prediction) => prediction.refused !== undefined).length;
    waiting = [];
    lastFlush = Date.now();
    const fresh = kept - known.size;
    const secondsLeft = ((Date.now() - started) / 1000 / fresh) * (mine.length - kept);
    onProgress?.({ done: kept, refused, total: mine.length, ...(fresh > 0 && { secondsLeft }) });
  };
  onProgress?.({ done: kept, refused, total: mine.length });
  try {
    for (const asked of batches(open, batch)) {
      signal?.throwIfAborted();
      const requests = asked.map(({ id, pictures }): AnswerRequest => {
        const shown = benchmark.showsAll?.includes(style) ? pictures : pictures.slice(0, 1);
        return { id, prompt: prompts.get(id)!, pictures: shown, maxNewTokens };
      });
      for await (const answer of answerer.answer(requests, signal)) {
        const { id } = answer;
        const question = byId.get(id);
        if (!question)
          throw new DataError(`${answerer.name} answered ${JSON.stringify(id)}, which was not asked or twice`);
        byId.delete(id);
        waiting.push(predictionOf(benchmark, question, answer, { prompt: prompts.get(id)!, style, maxNewTokens }));
        if (Date.now() - lastFlush > 1000 * FLUSH_SECONDS) await flush();
        signal?.throwIfAborted();
      }
      const silent = asked.filter(({ id }) => byId.has(id));
      if (silent.length > 0) {
        throw new DataError(
          `${answerer.name} gave no answer to ${silent.length} questions, ${silent[0]!.id} among them`,
        );
      }
      await flush();
    }
  } finally {
    await flush(); // what was answered before something went wrong
  }
  return kept;
}

function predictionOf(
  benchmark: Benchmark,
  { id, question, place, pictures, cluster }: BenchmarkQuestion,
  { text, refused }: Answer,
  { prompt, style, maxNewTokens }: { prompt: string; style: PromptStyle; maxNewTokens: number },
): BenchmarkPrediction {
  const gold = benchmark.gold(question) ?? null;
  const answer = refused === undefined ? strip(text) : "";
  const { read, score } = gold === null ? {} : grade(benchmark.protocols.default, { answer, refused, question });
  return {
    benchmark: benchmark.name,
    id,
    place,
    prompt,
    style,
    picture: pictures[0]!.key,
    group: cluster,
    answer,
    ...(refused !== undefined && { refused }),
    ...(maxNewTokens !== tokenLimit(benchmark, style) && { maxNewTokens }),
    extracted: read ?? null,
    gold,
    score: score ?? null,
    question: { ...question },
  };
}

/** A contiguous range of pictures with their questions: about as many questions for each shard. */
export function shardOf(questions: readonly BenchmarkQuestion[], { index, count }: Shard): BenchmarkQuestion[] {
  const byPicture = [...groupBy(questions, ({ pictures }) => pictures[0]!.key).values()];
  let before = 0;
  return byPicture.flatMap((group) => {
    const owner = Math.floor((before * count) / questions.length);
    before += group.length;
    return owner === index ? group : [];
  });
}

/** Whole pictures, until a batch has about `size` questions. */
function* batches(questions: readonly BenchmarkQuestion[], size: number): Generator<BenchmarkQuestion[]> {
  let batch: BenchmarkQuestion[] = [];
  for (const group of groupBy(questions, ({ pictures }) => pictures[0]!.key).values()) {
    if (batch.length > 0 && batch.length + group.length > size) {
      yield batch;
      batch = [];
    }
    batch.push(...group);
  }
  if (batch.length > 0) yield batch;
}

function fileOfShard({ index, count }: Shard): string {
  return count === 1 ? "predictions.jsonl" : `predictions-${index}-of-${count}.jsonl`;
}

/** @throws ConfigError */
function requireSamePrompts(before: readonly BenchmarkPrediction[], prompts: Map<string, string>, file: string): void {
  const changed = before.filter(({ id, prompt }) => prompts.get(id) !== prompt);
  if (changed.length === 0) return;
  throw new ConfigError(
    `${file} has ${changed.length} answers to other questions or prompts (${changed[0]!.id} is one). ` +
      "Use another --out folder, or remove this one.",
  );
}

async function beginManifest(folder: string, wanted: RunManifest): Promise<void> {
  const there = await readManifest(folder);
  if (there) {
    for (const key of ["benchmark", "split", "answerer", "style", "maxNewTokens", "questions"] as const) {
      if (there[key] === wanted[key]) continue;
      throw new ConfigError(
        `${folder} was begun with ${key} ${JSON.stringify(there[key])}, not ${JSON.stringify(wanted[key])}. ` +
          "Use another --out folder, or remove this one.",
      );
    }
    return;
  }
  await writeJson(join(folder, "run.json"), wanted);
}

/** undefined where there is none: predictions from elsewhere. @throws DataError when it is something else */
export async function readManifest(folder: string): Promise<RunManifest | undefined> {
  const file = join(folder, "run.json");
  if (!existsSync(file)) return undefined;
  const parsed = manifest.safeParse(JSON.parse(readText(file)));
  if (!parsed.success) throw new DataError(`${file} is no account of a benchmark's run: ${parsed.error.message}`);
  return parsed.data;
}

/** Predictions of one benchmark, as a folder or file has them. */
export interface StoredRun {
  predictions: BenchmarkPrediction[];
  /** Why they are not all of the benchmark's; absent where only their number can say. */
  missing?: string[];
}

/** All shards of a run's folder together. @throws DataError for a question that two of them answered */
export async function readRun(folder: string): Promise<StoredRun> {
  const names = (await readdir(folder)).filter((name) => /^predictions(-\d+-of-\d+)?\.jsonl$/.test(name)).sort();
  if (names.length === 0) throw new ConfigError(`${folder} has no predictions.jsonl`);
  const predictions = (await Promise.all(names.map((name) => readPredictions(join(folder, name))))).flat();
  const seen = new Set<string>();
  for (const { id } of predictions) {
    if (seen.has(id)) throw new DataError(`${folder}: question ${id} is answered in two files`);
    seen.add(id);
  }
  predictions.sort((a, b) => a.place - b.place);
  const about = await readManifest(folder);
  if (!about) return { predictions };
  const open = about.questions - predictions.length;
  return { predictions, missing: [...about.missing, ...(open > 0 ? [`${open} questions are not answered yet`] : [])] };
}
