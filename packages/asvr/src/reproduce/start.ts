import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { ConfigError } from "../errors.js";
import { defineRecipe, type Recipe } from "../recipes/recipe.js";

/** Where a run begins: the study whose parts it shares, and the run whose model it goes on with, if it does. */
export interface Start {
  study: string;
  run: string | null;
}

/** What a recipe's `startFrom` names: the folder of a study (made first where it is missing), or of a run. */
export async function startOf(startFrom: string): Promise<Start> {
  const folder = resolve(startFrom);
  if (!existsSync(join(folder, "recipe.json"))) return { study: folder, run: null };
  return { study: await studyOf(folder), run: folder };
}

/** The study whose parts a run shares: the one that it started from, or, of a study's row, the folder above. */
export async function studyOf(run: string): Promise<string> {
  const { startFrom } = await readRecipe(run);
  return startFrom === null ? dirname(resolve(run)) : (await startOf(startFrom)).study;
}

/** The recipe of a run folder, without the versions that it was made with. @throws ConfigError when it is none */
export async function readRecipe(run: string): Promise<Recipe> {
  const file = join(run, "recipe.json");
  if (!existsSync(file)) throw new ConfigError(`${file} does not exist: ${run} is not the folder of a run`);
  const { madeWith: _, ...recipe } = JSON.parse(await readFile(file, "utf8"));
  return defineRecipe(recipe);
}
