import { existsSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setThreads } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { checkOwnData } from "../parts/own-data.js";
import { writeTokenizer } from "../parts/own-words.js";
import { type PartProgress, readPart } from "../parts/part.js";
import { stageNames } from "../parts/prepare.js";
import { STUDY_TABLES, type StudySettings, settingsOf, withTokenizers } from "../parts/settings.js";
import { readSettings } from "../parts/settings-file.js";
import { readRecipe, requireNoForeignModel, requireStart, type Start, startOf } from "../parts/start.js";
import type { Scale } from "../recipes/baselines.js";
import { requireConsistent } from "../recipes/consistent.js";
import { describeDifferences, differences } from "../recipes/differences.js";
import { requireRunnable } from "../recipes/missing.js";
import { derive, override, type Recipe } from "../recipes/recipe.js";
import { recipeNamed, rowNotes, splitName } from "../recipes/tables.js";
import { Lock } from "../runs/lock.js";
import { requireMatchingRun } from "../studies/matching-run.js";
import { fasterMatmul } from "../studies/matmul.js";
import { sharedParts } from "../studies/plan.js";
import { runRow } from "../studies/row.js";
import { runStudy } from "../studies/study.js";
import { latestCheckpoint } from "../training/checkpoint.js";
import { commandContext } from "./context.js";
import { interruptSignal, oneOf, printJson, studyFolder } from "./options.js";
import { print } from "./printable.js";
import { progressDisplay } from "./progress.js";
import { describeTrained, trainedRun } from "./trained.js";

export interface TrainOptions {
  scale: string;
  out: string;
  seed: number;
  set: string[];
  maxBad: number;
  json: boolean;
}

/** Trains one recipe from a study's parts, or from another run. */
export async function train(name: string, options: TrainOptions): Promise<void> {
  const scale = oneOf<Scale>("--scale", options.scale, ["micro", "small", "paper"]);
  const display = progressDisplay();
  const signal = interruptSignal(display);
  const { recipe, start, settings } = await recipeOf(name, scale, options);
  await requireMatchingRun(recipe, start, settings);
  requireNoForeignModel(options.out);
  await requireSameRun(options.out, recipe);
  let lock: Lock | undefined;
  try {
    const files = [recipe.data.captions, recipe.data.tuning].filter((file) => file !== null);
    if (files.length > 0 && !(await areMade(start.study, sharedParts(recipe)))) {
      // Encoding the pictures would find the same faults, minutes later.
      const onProgress = (progress: PartProgress) => display.update("own data", progress);
      display.start("own data");
      const begun = performance.now();
      for (const file of files) await checkOwnData(file, recipe, { maxBad: options.maxBad, onProgress, signal });
      display.done("own data", (performance.now() - begun) / 1000);
    }
    await runStudy({
      folder: start.study,
      settings,
      partsFor: recipe,
      command: `asvr ${process.argv.slice(2).join(" ")}`,
      signal,
      onStart: (part) => display.start(part),
      onProgress: (part, progress) => display.update(part, progress),
      onDone: (part, { seconds, detail }) => display.done(part, seconds, detail),
    });
    display.start(options.out);
    await mkdir(options.out, { recursive: true });
    lock = await Lock.hold(join(options.out, "train.lock"), { what: options.out });
    const context = await commandContext(start.study, options.out, display, signal);
    setThreads(recipe.threads);
    await writeTokenizer(options.out, recipe, start);
    const started = performance.now();
    const detail = await runRow(context, recipe, options.out, options.maxBad);
    display.done(options.out, (performance.now() - started) / 1000, detail);
  } finally {
    await lock?.release();
    display.close();
  }
  const result = await trainedRun(options.out, recipe);
  if (options.json) printJson(result);
  else print(`${describeTrained(result)}${nextStep(recipe, options.out)}\n`);
}

function nextStep({ data }: Recipe, out: string): string {
  if (data.tuning === null) return `asvr eval ${out} shows its scores`;
  return `asvr eval ${out} --data FILE --images FOLDER asks it what you have held out`;
}

/** A study's folder has its settings; a new one gets those of the scale. */
async function studySettings(study: string, table: StudyTable, scale: StudySettings["scale"]): Promise<StudySettings> {
  if (existsSync(join(study, "settings.json"))) return readSettings(study);
  const settings = settingsOf(table, scale);
  return { ...settings, matmul: fasterMatmul(settings.threads) };
}

type StudyTable = StudySettings["table"];

interface Plan {
  recipe: Recipe;
  start: Start;
  settings: StudySettings;
}

async function recipeOf(name: string, scale: Scale, { seed, set }: TrainOptions): Promise<Plan> {
  for (const setting of ["name", "scale"]) {
    if (!set.some((assignment) => assignment.startsWith(`${setting}=`))) continue;
    throw new ConfigError(`--set ${setting}: the argument RECIPE and --scale say it`);
  }
  const base = derive(recipeNamed(name, scale), { seed });
  const first = set.reduce(override, base);
  requireRunnable(first);
  requireConsistent(first);
  const [named, row] = splitName(first.name);
  const table = oneOf<StudyTable>("the table", named, STUDY_TABLES);
  if (rowNotes(table, row).role === "equal-time") {
    throw new ConfigError(
      `${name} gets its steps from a study's calibration: run asvr reproduce table1 --rows ${row}, ` +
        "or train micro/llava with --set stages.tuning.steps=COUNT",
    );
  }
  const ofScale = first.scale as StudySettings["scale"]; // others were refused
  const usual = studyFolder(table, ofScale);
  await requireStart(first.startFrom ?? usual, usual);
  const start = await startOf(first.startFrom ?? usual);
  const settings = await studySettings(start.study, table, ofScale);
  if (settings.scale !== first.scale) {
    throw new ConfigError(
      `${name} is of the scale ${first.scale}, but ${start.study} is a study of the scale ${settings.scale}`,
    );
  }
  // The tokenizers learned as the study says; what is set is held against that.
  const asked = set.reduce(override, withTokenizers(settings, base));
  const own = set.some((assignment) => assignment.startsWith("threads="));
  const recipe = derive(asked, {
    data: existing(asked.data),
    startFrom: start.run ?? start.study,
    ...(!own && { threads: settings.threads }),
  });
  return { recipe, start, settings };
}

/** Whether all these parts of a study were made before. */
async function areMade(study: string, parts: readonly string[]): Promise<boolean> {
  const records = await Promise.all(parts.map((part) => readPart(study, part)));
  return records.every((record) => record?.state === "done");
}

/** Paths of data made absolute: a run may be gone on with from any folder. @throws ConfigError for what is not there */
function existing(data: Recipe["data"]): Pick<Recipe["data"], "captions" | "tuning" | "images"> {
  const absolute = (key: "captions" | "tuning" | "images") => {
    const path = data[key];
    if (path === null) return null;
    if (!existsSync(path)) throw new ConfigError(`data.${key}: ${resolve(path)} does not exist`);
    const isFolder = statSync(path).isDirectory();
    if (key === "images" && !isFolder) throw new ConfigError(`data.${key}: ${resolve(path)} is a file, no folder`);
    if (key !== "images" && isFolder) throw new ConfigError(`data.${key}: ${resolve(path)} is a folder, no file`);
    return resolve(path);
  };
  return { captions: absolute("captions"), tuning: absolute("tuning"), images: absolute("images") };
}

/** A run folder goes on with the recipe that it was begun with, and with nothing else. @throws ConfigError */
async function requireSameRun(out: string, recipe: Recipe): Promise<void> {
  if (existsSync(join(out, "settings.json"))) {
    throw new ConfigError(`${out} is the folder of a study: choose another one for the run with --out`);
  }
  if (!existsSync(join(out, "recipe.json"))) return;
  const begun = await readRecipe(out);
  if (begun.startFrom === null) {
    throw new ConfigError(`${out} is a row of the study ${dirname(resolve(out))}: choose another folder with --out`);
  }
  const saved = await latestCheckpoint(out);
  const hasBegun = (data: "captions" | "tuning") =>
    saved !== undefined && stageNames.some((stage, at) => at <= saved.stageNumber && begun.stages[stage].data === data);
  const different = differences(begun, recipe).filter(({ path, there, now }) => {
    // Data may be repaired under another name until a step was made with it, and moved after that: whether its content
    // is what the run began with is seen when it is read.
    if (path === "data.images") return false;
    if (path !== "data.captions" && path !== "data.tuning") return true;
    return hasBegun(path === "data.captions" ? "captions" : "tuning") && (there === null || now === null);
  });
  if (different.length > 0) {
    throw new ConfigError(
      `${out} holds another run: ${describeDifferences(different)}. Choose another folder with --out.`,
    );
  }
}
