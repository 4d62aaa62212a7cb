import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "@asvr/torch";
import { readText, writeJson } from "../files.js";
import { type PartContext, trainOptions } from "../parts/part.js";
import { prepareRow, type StageName, stageNames } from "../parts/prepare.js";
import { readRecipe, startOf } from "../parts/start.js";
import type { Recipe } from "../recipes/recipe.js";
import type { SeedResult } from "../runs/run-folder.js";
import { latestCheckpoint } from "../training/checkpoint.js";
import { train } from "../training/trainer.js";
import { answerTestSets } from "./answer.js";
import { revision, versions } from "./provenance.js";

/**
 * Trains one row of the table with one seed through its stages, answers both test sets, and draws attention maps. With a
 * user's own questions there is no test set here: `asvr eval` asks what the user holds out.
 */
export async function runRow(context: PartContext, recipe: Recipe, out: string, maxBad = 0): Promise<string> {
  await mkdir(out, { recursive: true });
  using row = await prepareRow(context, recipe, out);
  const saved = await latestCheckpoint(out);
  if (saved && stageNames[saved.stageNumber] !== saved.stage) {
    throw new CheckpointError(`${saved.path} is of stage ${saved.stageNumber}, ${saved.stage}, which a run has not`);
  }
  const stages = await stagesOf(recipe);
  // The next stage's checkpoint holds what an earlier one learned.
  const isBehind = (stage: StageName) => saved !== undefined && saved.stageNumber > stageNames.indexOf(stage);
  const before = existsSync(join(out, "recipe.json")) ? (await readRecipe(out)).data : recipe.data;
  const isMoved = before.images !== recipe.data.images;
  // What is wrong with the data of any stage is told before the first step, not after the stages before it.
  for (const stage of stages) {
    const { data } = recipe.stages[stage];
    if (!isBehind(stage) || isMoved || before[data] !== recipe.data[data]) await row.read(stage, maxBad);
  }
  // Only now: a run has begun when its data was found to be good.
  const madeWith = { ...versions(), ...(await revision()), matmul: context.settings.matmul };
  await writeJson(join(out, "recipe.json"), { ...recipe, madeWith });
  let stepsBefore = 0;
  for (const stage of stages) {
    const { steps, learningRate, warmupRatio, betas, weightDecay, groups, maxGradNorm } = recipe.stages[stage];
    if (!isBehind(stage)) {
      const optimization = { learningRate, warmupRatio, betas, weightDecay, groups, maxGradNorm, seed: recipe.seed };
      const place = { folder: out, stage, stageNumber: stageNames.indexOf(stage), steps, stepsBefore };
      await train(await row.objective(stage), trainOptions(context, { ...place, ...optimization }));
    }
    stepsBefore += steps;
  }
  const started = performance.now();
  if (recipe.data.tuning === null) await answerTestSets(context, recipe, row, out);
  const seconds = await stageSeconds(out);
  const { model, parts } = row;
  const result: SeedResult = {
    seconds: { ...seconds, evaluation: (performance.now() - started) / 1000 },
    parameters: {
      language: model.language.parameterCount(),
      projector: model.projector.parameterCount(),
      ...(model.supervision && { "visual head": model.supervision.parameterCount() }),
      "encoder (frozen)": parts.encoder.parameterCount(),
    },
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  };
  await writeJson(join(out, "result.json"), result);
  return `${Math.round(seconds.pretraining + seconds.tuning)} s of training`;
}

/** All of them; of a model that can read pictures already, the tuning alone, unless it is given captions of its own. */
async function stagesOf({ startFrom, data }: Recipe): Promise<readonly StageName[]> {
  const isTrained = startFrom !== null && (await startOf(startFrom)).run !== null;
  return isTrained && data.captions === null ? ["tuning"] : stageNames;
}

/** Training time of each stage, from its last line in the metrics: an earlier process may have trained it. */
async function stageSeconds(out: string): Promise<Record<StageName, number>> {
  const seconds = { pretraining: 0, tuning: 0 };
  for (const line of readText(join(out, "metrics.jsonl")).split("\n").filter(Boolean)) {
    const { stage, elapsedSeconds } = JSON.parse(line) as { stage: StageName; elapsedSeconds: number };
    seconds[stage] = elapsedSeconds;
  }
  return seconds;
}
