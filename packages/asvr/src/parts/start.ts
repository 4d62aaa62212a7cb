import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { readConfig } from "../checkpoints/config-place.js";
import { hubKind } from "../checkpoints/inspect/kinds.js";
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

/**
 * Refuses what a training can't start from. A study that is not there is made only where that is the default one: any
 * other name is more likely mistyped.
 * @param usual the folder where the study lies by default
 * @throws ConfigError that says what the folder is
 */
export async function requireStart(startFrom: string, usual: string): Promise<void> {
  const folder = resolve(startFrom);
  const isUsual = folder === resolve(usual);
  const advice = "startFrom names the folder of a study (settings.json) or of a run (recipe.json)";
  if (!existsSync(folder)) {
    if (isUsual) return;
    throw new ConfigError(
      `startFrom: ${folder} does not exist. ${advice}. To make a study there first: asvr reproduce table1 --out ${startFrom}`,
    );
  }
  if (existsSync(join(folder, "settings.json"))) return; // its content is checked where it is read
  if (existsSync(join(folder, "recipe.json"))) {
    const study = await studyOf(folder);
    if (existsSync(join(study, "settings.json"))) return;
    throw new ConfigError(`startFrom: ${folder} was trained with the parts of the study ${study}, which is not there`);
  }
  const what = describeForeign(folder);
  if (isUsual && what === EMPTY) return;
  throw new ConfigError(`startFrom: ${folder} is ${what}, neither a study nor a run. ${advice}.`);
}

/** Refuses to write a study or a run into a folder that holds somebody's model. @throws ConfigError */
export function requireNoForeignModel(out: string): void {
  if (!existsSync(out) || ["settings.json", "recipe.json"].some((file) => existsSync(join(out, file)))) return;
  if (statSync(out).isDirectory() && !readdirSync(out).some(isOfModel)) return;
  throw new ConfigError(`${resolve(out)} is ${describeForeign(out)}: choose another folder with --out`);
}

const EMPTY = "an empty folder";

/** What a path is that is neither study nor run, in words. */
function describeForeign(path: string): string {
  if (!statSync(path).isDirectory()) return "a file";
  const names = readdirSync(path).filter((name) => name !== "study.lock");
  if (names.length === 0) return EMPTY;
  if (names.includes("config.json")) return hubKind(path).kind;
  if (names.includes("manifest.json") && names.includes("optimizer.safetensors")) return "one checkpoint of a run";
  const weights = names.find(isOfModel);
  if (weights) return `a folder of weights (${weights})`;
  return `a folder with ${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}`;
}

function isOfModel(name: string): boolean {
  return name === "config.json" || /\.(safetensors|gguf|bin|pth)$/.test(name);
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
  const { madeWith: _, ...recipe } = readConfig(file) as Parameters<typeof defineRecipe>[0] & { madeWith?: unknown };
  return defineRecipe(recipe);
}
