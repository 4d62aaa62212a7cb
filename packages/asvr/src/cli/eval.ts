import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, parse, resolve } from "node:path";
import { setThreads } from "@asvr/torch";
import { countKinds } from "../data/faults.js";
import { ConfigError } from "../errors.js";
import { mean } from "../evaluation/statistics.js";
import type { Prediction } from "../report/run-folder.js";
import { evaluateOwnData, type OwnScores } from "../reproduce/own-evaluation.js";
import { answerTestSets } from "../reproduce/parts/answer.js";
import { readRecipe, studyOf } from "../reproduce/start.js";
import { loadTrainedRow } from "../reproduce/trained-row.js";
import { commandContext } from "./context.js";
import { printJson } from "./options.js";
import { progressDisplay } from "./progress.js";

interface SplitScores {
  /** Percent of questions answered exactly right, by type. */
  scores: Record<string, number>;
  /** Plain mean over the types. */
  mean: number;
  questions: number;
}

export interface EvalOptions {
  data?: string;
  images?: string;
  name?: string;
  maxBad: number;
  maxNewTokens: number;
  json: boolean;
}

/** Asks a trained run questions, the test sets or somebody's own, and prints its scores. */
export async function evaluate(run: string, options: EvalOptions): Promise<void> {
  await readRecipe(run); // refuses what is no run
  requireFiles(options);
  const display = progressDisplay();
  display.start(run);
  let own: OwnScores | undefined;
  try {
    const context = await commandContext(await studyOf(run), run, display);
    using row = await loadTrainedRow(context, run);
    setThreads(row.recipe.threads);
    const { data, images = null, name = parse(data ?? "").name, maxBad, maxNewTokens } = options;
    if (data) own = await evaluateOwnData(context, row, run, { data, images, name, maxBad, maxNewTokens });
    else await answerTestSets(context, row.recipe, row, run);
  } finally {
    display.close();
  }
  if (own) return options.json ? printJson(own) : void process.stdout.write(describeOwn(own));
  const splits = { "test-seen": await scoresOf(run, "test-seen"), "test-novel": await scoresOf(run, "test-novel") };
  if (options.json) printJson({ run, ...splits });
  else for (const [split, scores] of Object.entries(splits)) process.stdout.write(describe(split, scores));
}

/** @throws ConfigError */
function requireFiles({ data, images, name }: EvalOptions): void {
  if (data === undefined && (images ?? name) !== undefined)
    throw new ConfigError("--images and --name belong to --data");
  for (const [option, path] of Object.entries({ "--data": data, "--images": images })) {
    if (path !== undefined && !existsSync(path)) throw new ConfigError(`${option} ${resolve(path)} does not exist`);
  }
  if (name !== undefined && !/^[\w.-]+$/.test(name)) {
    throw new ConfigError(`--name ${JSON.stringify(name)}: use letters, digits, dots, dashes and underscores`);
  }
}

function describeOwn(scores: OwnScores): string {
  const { data, questions, pictures, exactMatch, interval, mostFrequent, byType, bad, faults, seenPictures } = scores;
  const [low, high] = interval;
  const line = (label: string, score: number, note = "") =>
    `  ${label.padEnd(24)}${score.toFixed(1).padStart(6)}${note}\n`;
  return [
    `${data}: ${questions} questions about ${pictures} pictures\n`,
    line(
      "exact match",
      exactMatch,
      `   95% interval ${low.toFixed(1)} to ${high.toFixed(1)} (bootstrap over pictures)`,
    ),
    ...Object.entries(byType).map(([type, { exactMatch }]) => line(`  ${type}`, exactMatch)),
    line("most frequent answer", mostFrequent.exactMatch, `   (${JSON.stringify(mostFrequent.answer)})`),
    ...(bad > 0 ? [`  left out: ${bad} records (${countKinds(faults)}); scores.json lists them\n`] : []),
    ...(seenPictures > 0
      ? [`  not held out: ${seenPictures} of the pictures are among those that it was tuned on\n`]
      : []),
  ].join("");
}

async function scoresOf(run: string, split: string): Promise<SplitScores> {
  const lines = (await readFile(join(run, "evaluation", split, "predictions.jsonl"), "utf8"))
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
