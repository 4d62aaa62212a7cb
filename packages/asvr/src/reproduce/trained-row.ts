import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { ConfigError } from "../errors.js";
import { defineRecipe, type Recipe } from "../recipes/recipe.js";
import { latestCheckpoint, loadModules } from "../training/checkpoint.js";
import type { PartContext } from "./parts/part.js";
import { type PreparedRow, prepareRow } from "./parts/prepare.js";

/** A trained row: its recipe, and its model with the newest weights. */
export interface TrainedRow extends PreparedRow {
  recipe: Recipe;
}

/** The recipe of a run folder, without the versions that it was made with. @throws ConfigError when it is none */
export async function readRecipe(run: string): Promise<Recipe> {
  const file = join(run, "recipe.json");
  if (!existsSync(file)) throw new ConfigError(`${file} does not exist: ${run} is not the folder of a trained row`);
  const { madeWith: _, ...recipe } = JSON.parse(await readFile(file, "utf8"));
  return defineRecipe(recipe);
}

/** Where a run's shared parts are: where `train` noted it, or, in a study, the folder above. */
export async function studyOf(run: string): Promise<string> {
  const note = join(run, "from.json");
  if (existsSync(note)) return (JSON.parse(await readFile(note, "utf8")) as { study: string }).study;
  return dirname(resolve(run));
}

/** Builds a run's model and loads its newest checkpoint. @throws ConfigError when it was never trained */
export async function loadTrainedRow(context: PartContext, run: string): Promise<TrainedRow> {
  const recipe = await readRecipe(run);
  const saved = await latestCheckpoint(run);
  if (!saved) throw new ConfigError(`${run} has no checkpoint yet: train it first`);
  const prepared = await prepareRow(context, recipe);
  await loadModules(saved.path, { model: prepared.model });
  return Object.assign(prepared, { recipe });
}
