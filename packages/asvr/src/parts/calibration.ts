import { rm } from "node:fs/promises";
import { join } from "node:path";
import { writeJson } from "../files.js";
import { derive, type Recipe } from "../recipes/recipe.js";
import { recipeOf } from "../recipes/tables.js";
import { train } from "../training/trainer.js";
import { type PartContext, trainOptions } from "./part.js";
import { prepareRow, type StageName } from "./prepare.js";
import { studyRecipe, withTokenizers } from "./settings.js";

/** Most steps of a measurement, and how often both rows are measured by turns: what else runs then hits both. */
const STEPS = 12;
const ROUNDS = 5;

/** Steps of each stage and row that are timed in all. */
export const TIMED_STEPS = STEPS * ROUNDS;

export interface Calibration {
  /** Seconds of a step, median over the rounds. */
  secondsPerStep: Record<"llava" | "asvr", Record<StageName, number>>;
  /** How much longer a step of asvr takes, by stage. */
  ratio: Record<StageName, number>;
}

/**
 * Measures once how much longer a step of ASVR takes than one of the baseline. The row `llava-equal-time` gets as many
 * more steps; kept, so that a resumed study trains for the same number.
 */
export async function calibrate(context: PartContext): Promise<string> {
  const { folder, settings, onProgress } = context;
  const temporary = join(folder, "calibration.partial");
  await rm(temporary, { recursive: true, force: true }); // of a process that was killed
  const rows = ["llava", "asvr"] as const;
  const stages = ["pretraining", "tuning"] as const;
  const seconds = { llava: { pretraining: [], tuning: [] }, asvr: { pretraining: [], tuning: [] } } as Record<
    "llava" | "asvr",
    Record<StageName, number[]>
  >;
  onProgress({ phase: "preparing", done: 0, total: ROUNDS });
  using llava = await prepareRow(context, derive(studyRecipe(settings), { seed: settings.sharedSeed }), temporary);
  using asvr = await prepareRow(
    context,
    derive(withTokenizers(settings, recipeOf("table1", "asvr", settings.scale)), { seed: settings.sharedSeed }),
    temporary,
  );
  const prepared = { llava, asvr };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const [stageNumber, stage] of stages.entries()) {
        for (const row of rows) {
          const objective = await prepared[row].objective(stage);
          const out = join(temporary, `${row}-${stage}-${round}`);
          const steps = Math.min(STEPS, settings.steps[stage]);
          const options = { folder: out, stage, stageNumber, steps, learningRate: 1e-3, seed: 0 };
          const quiet = { ...trainOptions(context, options), onProgress: undefined, saveEverySeconds: Infinity };
          seconds[row][stage].push((await train(objective, quiet)) / steps);
        }
      }
      onProgress({ phase: "timing steps", done: round + 1, total: ROUNDS });
    }
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  const perStep = (row: "llava" | "asvr") => ({
    pretraining: median(seconds[row].pretraining),
    tuning: median(seconds[row].tuning),
  });
  const calibration: Calibration = {
    secondsPerStep: { llava: perStep("llava"), asvr: perStep("asvr") },
    ratio: { pretraining: medianRatio("pretraining"), tuning: medianRatio("tuning") },
  };
  await writeJson(join(folder, "calibration.json"), calibration);
  return `a step of asvr takes ${calibration.ratio.tuning.toFixed(2)} of one of llava in tuning`;

  function medianRatio(stage: StageName): number {
    return median(seconds.asvr[stage].map((asvr, round) => asvr / seconds.llava[stage][round]!));
  }
}

/** The baseline with as many more steps as the calibration found. */
export function equalTime(recipe: Recipe, { ratio }: Calibration): Recipe {
  const longer = (stage: StageName) => ({ steps: Math.max(1, Math.round(recipe.stages[stage].steps * ratio[stage])) });
  return derive(recipe, { stages: { pretraining: longer("pretraining"), tuning: longer("tuning") } });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
