import { existsSync } from "node:fs";
import { join } from "node:path";
import { readText } from "../files.js";
import type { DataNote } from "../parts/own-data.js";
import { type StageName, stageNames } from "../parts/prepare.js";
import type { Recipe } from "../recipes/recipe.js";
import type { SeedResult } from "../runs/run-folder.js";
import { latestCheckpoint } from "../training/checkpoint.js";
import type { LoggedStep } from "../training/metrics.js";

export interface TrainedStage {
  steps: number;
  /** Of the first and of the last step. */
  firstLoss: number;
  loss: number;
  textLoss: number;
  visionLoss?: number;
  seconds: number;
  /** Of data of one's own: what it was trained on, and what was left out. */
  records?: number;
  pictures?: number;
  bad?: number;
}

/** What `asvr train` has made, as `--json` prints it. */
export interface Trained {
  run: string;
  recipe: string;
  seed: number;
  stages: Partial<Record<StageName, TrainedStage>>;
  /** Part of the model -> number of parameters. */
  parameters: SeedResult["parameters"];
  peakMemoryBytes: number;
  /** What was written, by what it is. */
  files: Record<string, string>;
}

/** Reads what a finished run's folder says of it. */
export async function trainedRun(run: string, { name, seed, stages }: Recipe): Promise<Trained> {
  const lines = readText(join(run, "metrics.jsonl"))
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Extract<LoggedStep, { stage: StageName | "text" }>);
  const { parameters, peakMemoryBytes } = await readJson<SeedResult>(join(run, "result.json"));
  const trained: Trained["stages"] = {};
  for (const stage of stageNames) {
    const own = lines.filter((line) => line.stage === stage);
    const [first, last] = [own[0], own.at(-1)];
    if (!first || !last) continue;
    const note = join(run, "data", `${stage}.json`);
    const data = existsSync(note) ? await readJson<DataNote>(note) : undefined;
    trained[stage] = {
      steps: stages[stage].steps,
      firstLoss: first.loss,
      loss: last.loss,
      textLoss: last.textLoss,
      ...(last.visionLoss !== undefined && { visionLoss: last.visionLoss }),
      seconds: last.elapsedSeconds,
      ...(data && { records: data.records, pictures: data.pictures, bad: data.bad }),
    };
  }
  const checkpoint = (await latestCheckpoint(run))!.path;
  return { run, recipe: name, seed, stages: trained, parameters, peakMemoryBytes, files: filesOf(run, checkpoint) };
}

function filesOf(run: string, checkpoint: string): Record<string, string> {
  const files = {
    checkpoint,
    recipe: join(run, "recipe.json"),
    metrics: join(run, "metrics.jsonl"),
    result: join(run, "result.json"),
    tokenizer: join(run, "tokenizer.json"),
    data: join(run, "data"),
    evaluation: join(run, "evaluation"),
    attention: join(run, "attention.json"),
  };
  return Object.fromEntries(Object.entries(files).filter(([, file]) => existsSync(file)));
}

async function readJson<T>(file: string): Promise<T> {
  return JSON.parse(readText(file)) as T;
}
