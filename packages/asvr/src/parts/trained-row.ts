import { ConfigError } from "../errors.js";
import type { Recipe } from "../recipes/recipe.js";
import { latestCheckpoint, loadModules } from "../training/checkpoint.js";
import type { PartContext } from "./part.js";
import { type PreparedRow, prepareRow } from "./prepare.js";
import { readRecipe } from "./start.js";

/** A trained row: its recipe, and its model with the newest weights. */
export interface TrainedRow extends PreparedRow {
  recipe: Recipe;
}

/** Builds a run's model and loads its newest checkpoint. @throws ConfigError when it was never trained */
export async function loadTrainedRow(context: PartContext, run: string): Promise<TrainedRow> {
  const recipe = await readRecipe(run);
  const saved = await latestCheckpoint(run);
  if (!saved) throw new ConfigError(`${run} has no checkpoint yet: train it first`);
  const prepared = await prepareRow(context, recipe, run, true);
  await loadModules(saved.path, { model: prepared.model });
  return Object.assign(prepared, { recipe });
}
