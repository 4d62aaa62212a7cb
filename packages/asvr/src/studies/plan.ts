import { join } from "node:path";
import { runtimeInfo } from "@asvr/torch";
import { readText } from "../files.js";
import { type Calibration, calibrate, equalTime, TIMED_STEPS } from "../parts/calibration.js";
import { makeCodes } from "../parts/codes.js";
import { trainEncoder } from "../parts/encoder.js";
import { hashOfValue, type PartKind, partsOf, reads } from "../parts/identity.js";
import { trainLanguageModel } from "../parts/language-model.js";
import { layout } from "../parts/layout.js";
import type { PartContext } from "../parts/part.js";
import { takePublished } from "../parts/published-language-model.js";
import { rowSettings, type StudySettings, studyRecipe } from "../parts/settings.js";
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
  /** Of all that it reads, and of the parts that it needs: equal prints mean an equal result. */
  fingerprint: string;
  /** What its builder reads of a recipe. */
  reads: unknown;
  /** Returns what the report says beside its time. */
  run: (context: PartContext) => Promise<string>;
}

/** The shared parts that a recipe is trained from. */
export function sharedParts(recipe: Recipe): string[] {
  return ["data", ...Object.values(partsOf(recipe))];
}

/**
 * The parts of a study in an order in which they can run; those with the most work after them come first. What rows
 * share is one part: their data, and each encoder, tokenizer and language model that some of them need.
 * @param libtorch its version, on which every number depends
 */
export function planStudy(settings: StudySettings, libtorch = runtimeInfo().libtorch): Part[] {
  const rows = settings.rows.map((row) => ({ row, recipe: rowSettings(settings, row) }));
  const plan = planSharedParts(
    settings,
    rows.map(({ recipe }) => recipe),
    libtorch,
  );
  const needsOf = (recipe: Recipe) => [partsOf(recipe).codes, partsOf(recipe).languageModel];
  if (rows.some(({ row }) => isEqualTime(settings, row))) {
    const base = studyRecipe(settings);
    const cost = calibrationSeconds(settings, base, TIMED_STEPS);
    plan.add({ name: "calibration", output: "calibration.json", needs: needsOf(base), cost, run: calibrate }, base, {
      steps: settings.steps,
    });
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
    plan.add({ name, output: name, needs, cost, run }, rowSettings(settings, row, seed));
  }
  return plan.parts;
}

/** The shared parts of recipes that are no rows of the study: those that the study has, and what they need besides. */
export function planShared(
  settings: StudySettings,
  recipes: readonly Recipe[],
  libtorch = runtimeInfo().libtorch,
): Part[] {
  return planSharedParts(settings, recipes, libtorch).parts;
}

function planSharedParts(settings: StudySettings, recipes: readonly Recipe[], libtorch: string): PlannedParts {
  const plan = new PlannedParts(settings, libtorch);
  const base = studyRecipe(settings);
  const data = { name: "data", output: "data", needs: [], cost: worldSeconds(settings), run: makeWorld };
  plan.add(data, null, settings.world);
  for (const [name, recipe] of distinct(recipes, "encoder")) {
    const read = reads.encoder(recipe);
    const run = (context: PartContext) => trainEncoder(context, read, join(context.folder, name));
    const part = { name, output: name, needs: ["data"], cost: encoderSeconds(settings), run };
    plan.add(part, read, { training: settings.encoder, captioner: base.language });
  }
  for (const [name, recipe] of distinct(recipes, "languageModel")) {
    const read = reads.languageModel(recipe);
    const run = (context: PartContext) =>
      "published" in settings.languageModel
        ? takePublished(context, read)
        : trainLanguageModel(context, read, join(context.folder, name));
    const part = { name, output: name, needs: ["data"], cost: languageModelSeconds(settings, recipe), run };
    plan.add(part, read, settings.languageModel);
  }
  for (const [name, recipe] of distinct(recipes, "tokenizers")) {
    const read = reads.tokenizers(recipe);
    const { encoder } = partsOf(recipe);
    const run = (context: PartContext) => {
      const { folder } = context;
      return trainTokenizers(context, read, { encoder: join(folder, encoder), out: join(folder, name) });
    };
    const part = { name, output: name, needs: [encoder], cost: tokenizersSeconds(settings), run };
    // The probes among what is measured read features as the baseline does.
    const { normaliseFeatures, encoder: probed } = base;
    plan.add(part, read, {
      training: settings.tokenizers,
      probed: { normaliseFeatures, selectLayer: probed.selectLayer },
    });
  }
  for (const [name, recipe] of distinct(recipes, "codes")) {
    const read = reads.codes(recipe);
    const { encoder, tokenizers } = partsOf(recipe);
    const run = (context: PartContext) => {
      const at = (part: string) => join(context.folder, part);
      return makeCodes(context, read, { encoder: at(encoder), tokenizers: at(tokenizers), out: at(name) });
    };
    plan.add({ name, output: name, needs: [tokenizers], cost: codesSeconds(settings), run }, read);
  }
  return plan;
}

/** The parts that were planned so far; each one's fingerprint is of what it reads and of the parts that it needs. */
class PlannedParts {
  readonly parts: Part[] = [];
  /** What every number depends on: another libtorch, thread count or dtype rounds otherwise. */
  readonly #common: object;

  constructor({ scale, sharedSeed, threads, matmul }: StudySettings, libtorch: string) {
    this.#common = { scale, sharedSeed, threads, matmul, libtorch };
  }

  /**
   * @param read what the part's builder reads of a recipe
   * @param own what it reads of the study's settings
   */
  add(part: Omit<Part, "fingerprint" | "reads">, read: unknown, own: unknown = null): void {
    const needed = part.needs.map((need) => this.parts.find(({ name }) => name === need)!.fingerprint);
    const fingerprint = hashOfValue({ part: part.name, common: this.#common, read, own, needed }).slice(0, 16);
    this.parts.push({ ...part, fingerprint, reads: read });
  }
}

/** The parts of one kind that recipes need, each with the first recipe that needs it: equal names mean equal parts. */
function distinct(recipes: readonly Recipe[], kind: PartKind): Map<string, Recipe> {
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
