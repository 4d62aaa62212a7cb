import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setThreads } from "@asvr/torch";
import { mean } from "../evaluation/statistics.js";
import type { Prediction } from "../report/run-folder.js";
import { answerTestSets } from "../reproduce/parts/answer.js";
import { loadTrainedRow, readRecipe, studyOf } from "../reproduce/trained-row.js";
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

/** Answers the test sets with a trained row and prints its scores. */
export async function evaluate(run: string, { json }: { json: boolean }): Promise<void> {
  await readRecipe(run); // refuses what is no run
  const display = progressDisplay();
  display.start(run);
  try {
    const context = await commandContext(await studyOf(run), run, display);
    using row = await loadTrainedRow(context, run);
    setThreads(row.recipe.threads);
    await answerTestSets(context, row.recipe, row, run);
  } finally {
    display.close();
  }
  const splits = { "test-seen": await scoresOf(run, "test-seen"), "test-novel": await scoresOf(run, "test-novel") };
  if (json) printJson({ run, ...splits });
  else for (const [split, scores] of Object.entries(splits)) process.stdout.write(describe(split, scores));
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
