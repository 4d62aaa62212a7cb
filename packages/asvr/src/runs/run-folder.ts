/**
 * The files of a study's run folder, as types and as readers. This is the contract between what trains and evaluates
 * (which writes these files) and the report (which reads them). Paths inside the files are relative to the run folder.
 *
 *     study.json                                     Study
 *     data/manifest.json                             WorldManifest
 *     tokenizers/summary.json                        TokenizerSummary
 *     ROW-sSEED/metrics.jsonl                        MetricsLine, one a logged step
 *     ROW-sSEED/result.json                          SeedResult
 *     ROW-sSEED/evaluation/SPLIT/predictions.jsonl   Prediction, one a question
 *     ROW-sSEED/attention.json                       AttentionSample[]
 *
 * Unknown keys are ignored. Only study.json must exist: every other reader returns undefined for a missing file.
 */
import path from "node:path";
import { readWholeFile } from "@asvr/torch/files";
import { z } from "zod";

const share = z.number().min(0).max(1);
const count = z.number().int().nonnegative();

const studyRow = z.object({
  /** Names the row in tables and folders; `llava` is the baseline, ids of the paper's Table 1 are matched with it. */
  id: z.string().regex(/^[\w.-]+$/, "letters, digits, '.', '_' and '-' only: the id names a folder"),
  title: z.string(),
  /** Whose codes the model reconstructs: "none", "semantic", "appearance", "appearance+semantic", … */
  supervision: z.string(),
  /** Whether position i predicts its own codes ("same") or the next position's ("next"); "none" without codes. */
  alignment: z.string(),
  visualInput: z.enum(["continuous", "discrete"]),
  seeds: z.array(z.number().int()),
  steps: z.object({ pretraining: count, tuning: count }),
  /**
   * What the row is there for, when its id does not say: the baseline given ASVR's training time, or ASVR trained on
   * the codes of another image.
   */
  role: z.enum(["equal-time", "control"]).optional(),
  /** The row that it is compared with, where that is not the baseline. */
  against: z.string().optional(),
  note: z.string().optional(),
});
export interface StudyRow extends z.infer<typeof studyRow> {}

const study = z.object({
  table: z.string(),
  scale: z.string(),
  /** The command line that made this folder. */
  command: z.string(),
  /** ISO 8601. */
  startedAt: z.string(),
  /** Absent while the study runs, or when it was cut off. */
  finishedAt: z.string().optional(),
  /** Wall time of all calls that worked on it; a pause between two of them does not count. */
  elapsedSeconds: z.number().nonnegative().optional(),
  /** Git revision of the code. */
  revision: z.string().optional(),
  versions: z.record(z.string(), z.string()),
  machine: z.object({ cpu: z.string(), cores: z.number(), threads: z.number(), platform: z.string() }),
  seeds: z.array(z.number().int()),
  /** The part with the baseline's tokenizers; absent: "tokenizers". */
  tokenizers: z.string().optional(),
  rows: z.array(studyRow),
  /** Wall time, part by part: data, encoder, tokenizers, each training, evaluation, … */
  parts: z.array(z.object({ name: z.string(), seconds: z.number().nonnegative(), detail: z.string().optional() })),
});
export interface Study extends z.infer<typeof study> {}

/** What the report reads of the micro world's manifest (micro/manifest.ts writes it whole). */
const worldManifest = z.object({
  /** What is real in the data and what the program composed. */
  provenance: z.string(),
  questionTypes: z.record(
    z.string(),
    z.object({
      group: z.string(),
      /** What a model scores that always gives the type's most frequent answer. */
      majorityShare: share,
      /** What a model scores that reads the question but never looks at the picture. */
      blindShare: share.optional(),
    }),
  ),
  licences: z.array(
    z.object({
      package: z.string(),
      version: z.string(),
      licence: z.string(),
      usedFor: z.string(),
      attribution: z.string(),
    }),
  ),
});
export interface WorldManifest extends z.infer<typeof worldManifest> {}

const residualCodes = z.object({
  codebookSize: z.number().int().positive(),
  depth: z.number().int().positive(),
  /** Per depth: how many codes of the codebook appear in the data. */
  usedCodes: z.array(count),
  /** After each depth: squared error of the quantized features, divided by their variance. */
  relativeError: z.array(z.number()),
});
/** One residual tokenizer: its size, how much of its codebook it uses, how well it rebuilds its input. */
export interface ResidualCodes extends z.infer<typeof residualCodes> {}

const probe = z.object({
  what: z.string(),
  /** What always giving the commonest label scores. */
  majority: share,
  /** Share of right answers of a linear map from the encoder's features, and from both kinds of codes. */
  features: share.optional(),
  semantic: share,
  appearance: share,
});
export interface Probe extends z.infer<typeof probe> {}

const tokenizerSummary = z.object({
  semantic: residualCodes,
  /** `psnr` in decibels, of pictures decoded from the codes. */
  appearance: residualCodes.extend({ psnr: z.number() }),
  reconstructions: z.array(z.object({ original: z.string(), appearance: z.string() })),
  /** How much a linear map reads of the scene from features and from codes. */
  probes: z.array(probe).optional(),
});
export interface TokenizerSummary extends z.infer<typeof tokenizerSummary> {}

const metricsLine = z.object({
  stage: z.enum(["pretraining", "tuning"]),
  step: count,
  /** Over both stages; lines of earlier versions have none. */
  globalStep: count.optional(),
  loss: z.number(),
  textLoss: z.number(),
  textAccuracy: share.optional(),
  /** Absent in a row without visual supervision. */
  visionLoss: z.number().optional(),
  /** Per depth: share of codes whose most likely prediction is right. */
  codeAccuracy: z.array(share).optional(),
  learningRate: z.number(),
  gradNorm: z.number(),
  samplesPerSecond: z.number(),
  elapsedSeconds: z.number(),
  memoryBytes: z.number(),
  /** What was measured after the step on held-out data, where that was due. */
  validation: z.record(z.string(), z.union([z.number(), z.array(z.number())])).optional(),
});
export interface MetricsLine extends z.infer<typeof metricsLine> {}

const seedResult = z.object({
  seconds: z.object({ pretraining: z.number(), tuning: z.number(), evaluation: z.number() }),
  /** Part of the model -> number of parameters. */
  parameters: z.record(z.string(), count),
  peakMemoryBytes: z.number(),
});
export interface SeedResult extends z.infer<typeof seedResult> {}

const prediction = z.object({
  /** Names the question; the same in every row and seed. */
  id: z.string(),
  /** The picture's path: what is resampled in an interval. */
  image: z.string(),
  type: z.string(),
  group: z.string(),
  question: z.string(),
  answer: z.string(),
  prediction: z.string(),
  correct: z.boolean(),
  /** Why the model did not take the question, which then counts as wrong. */
  refused: z.string().optional(),
});
export interface Prediction extends z.infer<typeof prediction> {}

const attentionSample = z
  .object({
    id: z.string(),
    image: z.string(),
    question: z.string(),
    answer: z.string(),
    prediction: z.string(),
    grid: z.tuple([z.number().int().positive(), z.number().int().positive()]),
    /** rows * cols, row by row: attention of the last token, mean over heads and layers. */
    attention: z.array(z.number().nonnegative()),
    byLayer: z.array(z.array(z.number().nonnegative())),
  })
  .check((context) => {
    const { grid, attention, byLayer } = context.value;
    const cells = grid[0] * grid[1];
    const wrong = [attention, ...byLayer].find((values) => values.length !== cells);
    if (wrong) {
      const message = `grid ${grid[0]} x ${grid[1]} needs ${cells} attention values, got ${wrong.length}`;
      context.issues.push({ code: "custom", message, input: context.value });
    }
  });
export interface AttentionSample extends z.infer<typeof attentionSample> {}

/** The two test sets: drawings of vendors seen in training, and of a vendor kept out of it. */
export type Split = "test-seen" | "test-novel";

/** A file of a run folder that cannot be read; the message names the file, the line and what is wrong. */
export class RunFolderError extends Error {
  override readonly name = "RunFolderError";
}

export function seedFolder(runFolder: string, row: string, seed: number): string {
  return path.join(runFolder, `${row}-s${seed}`);
}

export async function readStudy(runFolder: string): Promise<Study> {
  const file = path.join(runFolder, "study.json");
  const found = await readJson(file, study);
  if (!found) throw new RunFolderError(`${file} does not exist: this is not the run folder of a study`);
  return found;
}

export function readManifest(runFolder: string): Promise<WorldManifest | undefined> {
  return readJson(path.join(runFolder, "data", "manifest.json"), worldManifest);
}

/** @param part the folder of the tokenizers that the study's baseline has: `Study.tokenizers` */
export function readTokenizers(runFolder: string, part = "tokenizers"): Promise<TokenizerSummary | undefined> {
  return readJson(path.join(runFolder, part, "summary.json"), tokenizerSummary);
}

/** The logged steps of a row. A last line without an end is still being written, or was cut short: it is left out. */
export async function readMetrics(runFolder: string, row: string, seed: number): Promise<MetricsLine[] | undefined> {
  const file = path.join(seedFolder(runFolder, row, seed), "metrics.jsonl");
  const text = await readText(file);
  return text === undefined ? undefined : parseLines(text.slice(0, text.lastIndexOf("\n") + 1), file, metricsLine);
}

export function readResult(runFolder: string, row: string, seed: number): Promise<SeedResult | undefined> {
  return readJson(path.join(seedFolder(runFolder, row, seed), "result.json"), seedResult);
}

export function readPredictions(
  runFolder: string,
  row: string,
  seed: number,
  split: Split,
): Promise<Prediction[] | undefined> {
  const folder = path.join(seedFolder(runFolder, row, seed), "evaluation", split);
  return readLines(path.join(folder, "predictions.jsonl"), prediction);
}

export function readAttention(runFolder: string, row: string, seed: number): Promise<AttentionSample[] | undefined> {
  return readJson(path.join(seedFolder(runFolder, row, seed), "attention.json"), z.array(attentionSample));
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return readWholeFile(file, 2 ** 29).toString("utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new RunFolderError(`${file}: ${(error as Error).message}`, { cause: error });
  }
}

async function readJson<T>(file: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readText(file);
  return text === undefined ? undefined : parse(text, file, schema);
}

async function readLines<T>(file: string, schema: z.ZodType<T>): Promise<T[] | undefined> {
  const text = await readText(file);
  return text === undefined ? undefined : parseLines(text, file, schema);
}

function parseLines<T>(text: string, file: string, schema: z.ZodType<T>): T[] {
  return text.split("\n").flatMap((line, index) => {
    return line.trim() === "" ? [] : [parse(line, `${file}, line ${index + 1}`, schema)];
  });
}

function parse<T>(text: string, where: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new RunFolderError(`${where}: not valid JSON (${(error as Error).message})`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => `${issue.path.join(".") || "the value"}: ${issue.message}`);
  throw new RunFolderError(`${where}: ${issues.join("; ")}`);
}
