import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { runtimeInfo } from "@asvr/torch";
import { derive, type Recipe } from "../recipes/recipe.js";
import { rowNotes, type Table1Row, table1, tuningSteps } from "../recipes/table1.js";
import { layout } from "./layout.js";
import { type Calibration, calibrate, equalTime } from "./parts/calibration.js";
import { makeCodes } from "./parts/codes.js";
import { trainEncoder } from "./parts/encoder.js";
import { trainLanguageModel } from "./parts/language-model.js";
import type { PartContext } from "./parts/part.js";
import { takePublished } from "./parts/published-language-model.js";
import { runRow } from "./parts/row.js";
import { trainTokenizers } from "./parts/tokenizers.js";
import { makeWorld } from "./parts/world.js";
import { fingerprint, type StudySettings, studyRecipe } from "./settings.js";

/** One part of a study: what it needs, what it is made from, and what makes it. */
export interface Part {
  name: string;
  /** Folder or file, relative to the study's, that it makes. */
  output: string;
  needs: readonly string[];
  /** Of its settings and of the parts that it needs: equal prints mean an equal result. */
  fingerprint: string;
  /** Returns what the report says beside its time. */
  run: (context: PartContext) => Promise<string>;
}

/** The parts that all rows have in common. */
export const sharedParts = ["data", "encoder", "text-lm", "tokenizers", "codes"] as const;

/** The parts of a study in an order in which they can run; those with the most work after them come first. */
export function planStudy(settings: StudySettings): Part[] {
  const parts: Part[] = [];
  // What every number depends on: another libtorch, thread count or dtype rounds otherwise.
  const common = [settings.sharedSeed, settings.threads, settings.matmul, runtimeInfo().libtorch];
  const add = (part: Omit<Part, "fingerprint">, ...own: unknown[]) => {
    const inherited = part.needs.map((need) => parts.find(({ name }) => name === need)!.fingerprint);
    parts.push({ ...part, fingerprint: fingerprint(part.name, common, own, inherited) });
  };
  const base = studyRecipe(settings);
  const isPublished = "published" in settings.languageModel;
  const { things, ...world } = settings.world;
  // The standard set is left out, as it was before there was another: studies from then go on.
  const set = things === "standard" ? {} : { things };
  add({ name: "data", output: "data", needs: [], run: makeWorld }, { ...world, ...set });
  add({ name: "encoder", output: "encoder", needs: ["data"], run: trainEncoder }, settings.encoder, base.encoder);
  add(
    { name: "text-lm", output: "text-lm", needs: ["data"], run: isPublished ? takePublished : trainLanguageModel },
    settings.languageModel,
    base.language,
  );
  add(
    { name: "tokenizers", output: "tokenizers", needs: ["encoder"], run: trainTokenizers },
    settings.tokenizers,
    base.tokenizers,
  );
  add({ name: "codes", output: "codes", needs: ["tokenizers"], run: makeCodes });
  const shared = ["codes", "text-lm"];
  if (settings.rows.some(isEqualTime)) {
    add({ name: "calibration", output: "calibration.json", needs: shared, run: calibrate }, settings.steps);
  }
  // Rows with a visual head take longest: they start first, so that no core waits for them at the end.
  const bySeed = settings.seeds.flatMap((seed) => settings.rows.map((row) => ({ row, seed })));
  for (const { row, seed } of bySeed.sort((a, b) => cost(b.row) - cost(a.row))) {
    const needs = isEqualTime(row) ? [...shared, "calibration"] : shared;
    const name = `${row}-s${seed}`;
    const run = async (context: PartContext) =>
      runRow(context, await rowRecipe(context.folder, settings, row, seed), layout.row(context.folder, row, seed));
    add({ name, output: name, needs, run }, rowSettings(settings, row, seed));
  }
  return parts;
}

/** The recipe of a row as it runs in this study, the equal-time row's steps included. */
export async function rowRecipe(
  folder: string,
  settings: StudySettings,
  row: Table1Row,
  seed: number,
): Promise<Recipe> {
  const recipe = rowSettings(settings, row, seed);
  if (!isEqualTime(row)) return recipe;
  const calibration = JSON.parse(await readFile(join(folder, "calibration.json"), "utf8")) as Calibration;
  return equalTime(recipe, calibration);
}

function rowSettings(settings: StudySettings, row: Table1Row, seed: number): Recipe {
  const { steps, threads } = settings;
  const stages = { pretraining: { steps: steps.pretraining }, tuning: { steps: tuningSteps(row, steps.tuning) } };
  return derive(studyRecipe(settings, row), { seed, threads, stages });
}

function isEqualTime(row: Table1Row): boolean {
  return rowNotes(row).role === "equal-time";
}

/** In steps of the baseline, roughly: only the order matters. */
function cost(row: Table1Row): number {
  const { kind } = table1(row, "micro").supervision; // the same at every scale
  const perStep = kind === "dual" ? 2 : kind !== "none" || isEqualTime(row) ? 1.4 : 1;
  return perStep * tuningSteps(row, 1000);
}
