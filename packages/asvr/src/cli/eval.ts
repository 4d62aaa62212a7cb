import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { setThreads } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { mean } from "../evaluation/statistics.js";
import { isRun } from "../export/source.js";
import { readText } from "../files.js";
import { studyOf } from "../parts/start.js";
import { loadTrainedRow } from "../parts/trained-row.js";
import type { Prediction } from "../runs/run-folder.js";
import { answerTestSets } from "../studies/answer.js";
import { commandContext } from "./context.js";
import type { OpeningOptions } from "./opening.js";
import { printJson, tellWritten } from "./options.js";
import { evaluateOwn } from "./own-eval.js";
import { print } from "./printable.js";
import { progressDisplay } from "./progress.js";

interface SplitScores {
  /** Percent of questions answered exactly right, by type. */
  scores: Record<string, number>;
  /** Plain mean over the types. */
  mean: number;
  questions: number;
}

export interface EvalOptions extends OpeningOptions {
  data?: string;
  images?: string;
  name?: string;
  out?: string;
  baseline?: string;
  maxBad: number;
  maxNewTokens: number;
  concurrency: number;
  json: boolean;
}

const splits = ["test-seen", "test-novel"] as const;

/** Asks a trained run the test sets, or any model somebody's own questions, and prints the scores. */
export async function evaluate(run: string, options: EvalOptions): Promise<void> {
  requireFiles(options);
  const { data, json } = options;
  if (data !== undefined) return evaluateOwn(run, data, options);
  if (!isRun(run)) {
    throw new ConfigError(
      `${run} is not the folder of a run (it has no recipe.json), and only a run has test sets: ask it your own questions with --data FILE, or --benchmarks`,
    );
  }
  const display = progressDisplay();
  display.start(run);
  try {
    const context = await commandContext(await studyOf(run), run, display);
    using row = await loadTrainedRow(context, run);
    setThreads(options.threads ?? row.recipe.threads);
    await answerTestSets(context, row.recipe, row, run);
  } finally {
    display.close();
  }
  const found = await Promise.all(splits.map(async (split) => [split, await scoresOf(run, split)] as const));
  if (json) printJson({ run, ...Object.fromEntries(found) });
  else for (const [split, scores] of found) print(describe(split, scores));
  tellWritten(
    join(run, "evaluation"),
    splits.map((split) => `${split}/predictions.jsonl`),
    json,
  );
}

/** @throws ConfigError */
function requireFiles({ data, images, name, out, baseline }: EvalOptions): void {
  if (data === undefined && (images ?? name ?? baseline) !== undefined) {
    throw new ConfigError("--images, --name and --baseline belong to --data");
  }
  if (data === undefined && out !== undefined) throw new ConfigError("--out belongs to --data or --benchmarks");
  if (out !== undefined && name !== undefined) {
    throw new ConfigError("--name names a folder where none is given: leave out --name or --out");
  }
  for (const [option, path] of Object.entries({ "--data": data, "--images": images })) {
    if (path !== undefined && !existsSync(path)) throw new ConfigError(`${option} ${resolve(path)} does not exist`);
  }
  if (name !== undefined && !/^[\w.-]+$/.test(name)) {
    throw new ConfigError(`--name ${JSON.stringify(name)}: use letters, digits, dots, dashes and underscores`);
  }
}

async function scoresOf(run: string, split: string): Promise<SplitScores> {
  const lines = readText(join(run, "evaluation", split, "predictions.jsonl"))
    .split("\n")
    .filter(Boolean);
  const byType = new Map<string, number[]>();
  for (const line of lines) {
    const { type, correct } = JSON.parse(line) as Prediction;
    byType.set(type, [...(byType.get(type) ?? []), correct ? 100 : 0]);
  }
  const scores = Object.fromEntries([...byType].map(([type, values]) => [type, mean(values)]));
  return { scores, mean: mean(Object.values(scores)), questions: lines.length };
}

function describe(split: string, { scores, mean: average, questions }: SplitScores): string {
  const rows = Object.entries(scores).map(([type, score]) => `  ${type.padEnd(14)}${score.toFixed(1).padStart(6)}\n`);
  return `${split} (${questions} questions)\n${rows.join("")}  ${"mean".padEnd(14)}${average.toFixed(1).padStart(6)}\n`;
}
