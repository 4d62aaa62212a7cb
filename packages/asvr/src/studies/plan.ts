import { join } from "node:path";
import { runtimeInfo } from "@asvr/torch";
import { readText } from "../files.js";
import { type Calibration, calibrate, equalTime, TIMED_STEPS } from "../parts/calibration.js";
import { makeCodes } from "../parts/codes.js";
import { trainEncoder } from "../parts/encoder.js";
import { trainLanguageModel } from "../parts/language-model.js";
import { layout, partsOf } from "../parts/layout.js";
import type { PartContext } from "../parts/part.js";
import { takePublished } from "../parts/published-language-model.js";
import { fingerprint, rowSettings, type StudySettings, studyRecipe } from "../parts/settings.js";
import { trainTokenizers } from "../parts/tokenizers.js";
import { makeWorld } from "../parts/world.js";
import type { Recipe } from "../recipes/recipe.js";
import { rowNotes, splitName, studyRows } from "../recipes/tables.js";
import {
  calibrationSeconds,
  codesSeconds,
  encoderSeconds,
  languageModelSeconds,
  rowSeconds,
  tokenizersSeconds,
  worldSeconds,
} from "./cost.js";
import { runRow } from "./row.js";

/** One part of a study: what it needs, what it is made from, and what makes it. */
export interface Part {
  name: string;
  /** Folder or file, relative to the study's, that it makes. */
  output: string;
  needs: readonly string[];
  /** About how long it takes, in the seconds of `cost.ts`. */
  cost: number;
  /** Of its settings and of the parts that it needs: equal prints mean an equal result. */
  fingerprint: string;
  /** Returns what the report says beside its time. */
  run: (context: PartContext) => Promise<string>;
}

/** The shared parts that a recipe is trained from. */
export function sharedParts(recipe: Pick<Recipe, "language" | "tokenizers">): string[] {
  return ["data", "encoder", ...Object.values(partsOf(recipe))];
}

/**
 * The parts of a study in an order in which they can run; those with the most work after them come first. What rows
 * share is one part: their data, their encoder, and each tokenizer and each language model that some of them need.
 * @param libtorch its version, on which every number depends
 */
export function planStudy(settings: StudySettings, libtorch = runtimeInfo().libtorch): Part[] {
  const parts: Part[] = [];
  // What every number depends on: another libtorch, thread count or dtype rounds otherwise.
  const common = [settings.sharedSeed, settings.threads, settings.matmul, libtorch];
  const add = (part: Omit<Part, "fingerprint">, ...own: unknown[]) => {
    const inherited = part.needs.map((need) => parts.find(({ name }) => name === need)!.fingerprint);
    parts.push({ ...part, fingerprint: fingerprint(part.name, common, own, inherited) });
  };
  const base = studyRecipe(settings);
  const rows = settings.rows.map((row) => ({ row, recipe: rowSettings(settings, row) }));
  const recipes = rows.map(({ recipe }) => recipe);
  const isPublished = "published" in settings.languageModel;
  const { things, ...world } = settings.world;
  // The standard set is left out, as it was before there was another: studies from then go on.
  const set = things === "standard" ? {} : { things };
  const data = { name: "data", output: "data", needs: [], cost: worldSeconds(settings), run: makeWorld };
  add(data, { ...world, ...set });
  const encoder = { needs: ["data"], cost: encoderSeconds(settings), run: trainEncoder };
  add({ name: "encoder", output: "encoder", ...encoder }, settings.encoder, base.encoder);
  for (const [name, recipe] of distinct(recipes, "languageModel")) {
    const run = isPublished ? takePublished : (context: PartContext) => trainLanguageModel(context, recipe);
    const part = { name, output: name, needs: ["data"], cost: languageModelSeconds(settings, recipe), run };
    add(part, settings.languageModel, recipe.language);
  }
  for (const [name, recipe] of distinct(recipes, "tokenizers")) {
    const run = (context: PartContext) => trainTokenizers(context, recipe);
    const part = { name, output: name, needs: ["encoder"], cost: tokenizersSeconds(settings), run };
    add(part, settings.tokenizers, recipe.tokenizers);
  }
  for (const [name, recipe] of distinct(recipes, "codes")) {
    const run = (context: PartContext) => makeCodes(context, recipe);
    add({ name, output: name, needs: [partsOf(recipe).tokenizers], cost: codesSeconds(settings), run });
  }
  const needsOf = (recipe: Recipe) => [partsOf(recipe).codes, partsOf(recipe).languageModel];
  if (rows.some(({ row }) => isEqualTime(settings, row))) {
    const part = { needs: needsOf(base), cost: calibrationSeconds(settings, base, TIMED_STEPS), run: calibrate };
    add({ name: "calibration", output: "calibration.json", ...part }, settings.steps);
  }
  const costed = rows.map(({ row, recipe }) => {
    return { row, recipe, cost: rowSeconds(settings, recipe, isEqualTime(settings, row)) };
  });
  // What takes longest starts first, so that no core waits for it at the end.
  const bySeed = settings.seeds.flatMap((seed) => costed.map((row) => ({ ...row, seed })));
  for (const { row, recipe, cost, seed } of bySeed.sort((a, b) => b.cost - a.cost)) {
    const needs = isEqualTime(settings, row) ? [...needsOf(recipe), "calibration"] : needsOf(recipe);
    const name = `${row}-s${seed}`;
    const run = async (context: PartContext) =>
      runRow(context, await rowRecipe(context.folder, settings, row, seed), layout.row(context.folder, row, seed));
    add({ name, output: name, needs, cost, run }, rowSettings(settings, row, seed));
  }
  return parts;
}

/** The parts of one kind that recipes need, each with the first recipe that needs it. */
function distinct(recipes: readonly Recipe[], kind: keyof ReturnType<typeof partsOf>): Map<string, Recipe> {
  const parts = new Map<string, Recipe>();
  for (const recipe of recipes) {
    const name = partsOf(recipe)[kind];
    if (!parts.has(name)) parts.set(name, recipe);
  }
  return parts;
}

/** The recipe of a row as it runs in this study, the equal-time row's steps included. */
export async function rowRecipe(folder: string, settings: StudySettings, row: string, seed: number): Promise<Recipe> {
  const recipe = rowSettings(settings, row, seed);
  if (!isEqualTime(settings, row)) return recipe;
  const calibration = JSON.parse(readText(join(folder, "calibration.json"))) as Calibration;
  return equalTime(recipe, calibration);
}

/** What the report says of a row of a study. */
export function notesOf({ table, scale }: StudySettings, row: string): ReturnType<typeof rowNotes> {
  const [of, id] = splitName(studyRows(table, scale).get(row)!);
  return rowNotes(of, id);
}

function isEqualTime(settings: StudySettings, row: string): boolean {
  return notesOf(settings, row).role === "equal-time";
}
