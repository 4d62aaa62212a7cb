import { existsSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { defaultDevice, setThreads } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { checkOwnData } from "../parts/own-data.js";
import { writeTokenizer } from "../parts/own-words.js";
import type { PartProgress } from "../parts/part.js";
import { stageNames } from "../parts/prepare.js";
import { STUDY_TABLES, type StudySettings, settingsOf } from "../parts/settings.js";
import { readSettings, useSettings } from "../parts/settings-file.js";
import { readRecipe, requireNoForeignModel, requireStart, type Start, startOf } from "../parts/start.js";
import { requireConsistent } from "../recipes/consistent.js";
import { describeDifferences, differences } from "../recipes/differences.js";
import { requireRunnable } from "../recipes/missing.js";
import { derive, type Recipe } from "../recipes/recipe.js";
import { rowNotes, splitName } from "../recipes/tables.js";
import { Lock } from "../runs/lock.js";
import { readPart } from "../runs/part-record.js";
import { latestCheckpoint } from "../training/checkpoint.js";
import { requireMatchingRun } from "./matching-run.js";
import { fasterMatmul } from "./matmul.js";
import { sharedParts } from "./plan.js";
import { runRow } from "./row.js";
import { runStudy, type StudyEvents } from "./study.js";
import { studyFolder } from "./study-folder.js";
import { type Trained, trainedRun } from "./trained-run.js";

export interface TrainRecipeOptions extends StudyEvents {
  /** The run's folder: the same call goes on with it where it stopped. */
  out: string;
  /** How many faulty records of one's own data may be left out. */
  maxBad?: number;
  /** Default: `defaultDevice()`. */
  device?: string;
  /** Stops after a save. */
  signal?: AbortSignal;
  /** What the user should read, once. */
  onNote?: (text: string) => void;
}

/** Where the training of a recipe begins, and the settings of the study whose parts it uses. */
export interface TrainingStart {
  start: Start;
  settings: StudySettings;
}

/**
 * Trains a recipe into a folder: makes the shared parts that its study lacks, checks all data before the first step,
 * trains both stages, and answers the test sets where the data is the study's. `recipe.startFrom` names the study or the
 * run that it begins with; null is the default study, which is made first.
 * @returns what was trained, as `asvr train --json` prints it
 * @throws ConfigError for settings that can't be trained, or a folder of another run
 * @throws DataError for more than `maxBad` faulty records
 * @throws Interrupted when the signal fired; everything is saved
 */
export async function trainRecipe(recipe: Recipe, options: TrainRecipeOptions): Promise<Trained> {
  const { out, maxBad = 0, onStart, onProgress, onDone, onNote } = options;
  const signal = options.signal ?? new AbortController().signal;
  const { start, settings } = await trainingStart(recipe);
  const resolved = derive(recipe, { data: existing(recipe.data), startFrom: start.run ?? start.study });
  await requireMatchingRun(resolved, start, settings);
  requireNoForeignModel(out);
  await requireSameRun(out, resolved);

  const files = [resolved.data.captions, resolved.data.tuning].filter((file) => file !== null);
  if (files.length > 0 && !(await areMade(start.study, sharedParts(resolved)))) {
    // Encoding the pictures would find the same faults, minutes later.
    const tell = (progress: PartProgress) => onProgress?.("own data", progress);
    onStart?.("own data");
    const seconds = await timed(async () => {
      for (const file of files) await checkOwnData(file, resolved, { maxBad, onProgress: tell, signal });
    });
    onDone?.("own data", { seconds });
  }
  const events = { onStart, onProgress, onDone };
  await runStudy({ folder: start.study, settings, partsFor: resolved, command: "", signal, ...events });

  onStart?.(out);
  await mkdir(out, { recursive: true });
  const lock = await Lock.hold(join(out, "train.lock"), { what: out });
  try {
    const kept = await readSettings(start.study);
    useSettings(kept);
    setThreads(resolved.threads);
    await writeTokenizer(out, resolved, start);
    let detail = "";
    const seconds = await timed(async () => {
      const place = { folder: start.study, settings: kept, device: options.device ?? defaultDevice() };
      const tell = (progress: PartProgress) => onProgress?.(out, progress);
      detail = await runRow({ ...place, signal, onNote, onProgress: tell }, resolved, out, maxBad);
    });
    onDone?.(out, { seconds, detail });
  } finally {
    await lock.release();
  }
  return trainedRun(out, resolved);
}

/**
 * Finds where a recipe's training begins, before anything is made.
 * @throws ConfigError for a recipe that this version can't train, or a start that is neither study nor run
 */
export async function trainingStart(recipe: Recipe): Promise<TrainingStart> {
  requireRunnable(recipe);
  requireConsistent(recipe);
  const [named, row] = splitName(recipe.name);
  const table = STUDY_TABLES.find((one) => one === named);
  if (table === undefined) {
    throw new ConfigError(`the table is "${named}"; rows of ${STUDY_TABLES.join(", ")} can be trained`);
  }
  if (rowNotes(table, row).role === "equal-time") {
    throw new ConfigError(
      `${recipe.name} gets its steps from a study's calibration: run asvr reproduce table1 --rows ${row}, ` +
        "or train micro/llava with --set stages.tuning.steps=COUNT",
    );
  }
  const scale = recipe.scale as StudySettings["scale"]; // others were refused
  const usual = studyFolder(table, scale);
  await requireStart(recipe.startFrom ?? usual, usual);
  const start = await startOf(recipe.startFrom ?? usual);
  const settings = await studySettings(start.study, table, scale);
  if (settings.scale !== scale) {
    throw new ConfigError(
      `${recipe.name} is of the scale ${scale}, but ${start.study} is a study of the scale ${settings.scale}`,
    );
  }
  return { start, settings };
}

/** A study's folder has its settings; a new one gets those of the scale. */
async function studySettings(
  study: string,
  table: StudySettings["table"],
  scale: StudySettings["scale"],
): Promise<StudySettings> {
  if (existsSync(join(study, "settings.json"))) return readSettings(study);
  const settings = settingsOf(table, scale);
  return { ...settings, matmul: fasterMatmul(settings.threads) };
}

/** Whether all these parts of a study were made before. */
async function areMade(study: string, parts: readonly string[]): Promise<boolean> {
  const records = await Promise.all(parts.map((part) => readPart(study, part)));
  return records.every((record) => record?.state === "done");
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
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
