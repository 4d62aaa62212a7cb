import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setThreads } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import type { Scale } from "../recipes/baselines.js";
import { requireRunnable } from "../recipes/missing.js";
import { derive, override, type Recipe } from "../recipes/recipe.js";
import { recipeNamed, rowNotes, splitName } from "../recipes/tables.js";
import { Lock } from "../reproduce/lock.js";
import { fasterMatmul } from "../reproduce/matmul.js";
import { writeTokenizer } from "../reproduce/parts/own-words.js";
import { runRow } from "../reproduce/parts/row.js";
import { planStudy, sharedParts } from "../reproduce/plan.js";
import { STUDY_TABLES, type StudySettings, settingsOf, withTokenizers } from "../reproduce/settings.js";
import { readRecipe, type Start, startOf } from "../reproduce/start.js";
import { readSettings, runStudy } from "../reproduce/study.js";
import { commandContext } from "./context.js";
import { interruptSignal, oneOf, printJson, studyFolder } from "./options.js";
import { progressDisplay } from "./progress.js";

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
  requireParts(recipe, start.study, settings);
  await requireSameRun(options.out, recipe);
  let lock: Lock | undefined;
  try {
    await runStudy({
      folder: start.study,
      settings,
      only: sharedParts(recipe),
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
  const result = { run: options.out, recipe: recipe.name, seed: recipe.seed };
  if (options.json) printJson(result);
  else process.stdout.write(`${options.out}: trained; ${nextStep(recipe, options.out)}\n`);
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
  const asked = set.reduce(override, derive(recipeNamed(name, scale), { seed }));
  requireRunnable(asked);
  const [named, row] = splitName(asked.name);
  const table = oneOf<StudyTable>("the table", named, STUDY_TABLES);
  if (rowNotes(table, row).role === "equal-time") {
    throw new ConfigError(
      `${name} gets its steps from a study's calibration: run asvr reproduce table1 --rows ${row}, ` +
        "or train micro/llava with --set stages.tuning.steps=COUNT",
    );
  }
  const ofScale = asked.scale as StudySettings["scale"]; // others were refused
  const start = await startOf(asked.startFrom ?? studyFolder(table, ofScale));
  const settings = await studySettings(start.study, table, ofScale);
  if (settings.scale !== asked.scale) {
    throw new ConfigError(
      `${name} is of the scale ${asked.scale}, but ${start.study} is a study of the scale ${settings.scale}`,
    );
  }
  const own = set.some((assignment) => assignment.startsWith("threads="));
  const recipe = derive(asked, {
    data: existing(asked.data),
    tokenizers: withTokenizers(settings, asked).tokenizers, // they learned as the study says
    startFrom: start.run ?? start.study,
    ...(!own && { threads: settings.threads }),
  });
  return { recipe, start, settings };
}

/** The same with absolute paths: a run may be gone on with from any folder. @throws ConfigError for what is not there */
function existing(data: Recipe["data"]): Pick<Recipe["data"], "captions" | "tuning" | "images"> {
  const absolute = (key: "captions" | "tuning" | "images") => {
    const path = data[key];
    if (path === null) return null;
    if (!existsSync(path)) throw new ConfigError(`data.${key}: ${resolve(path)} does not exist`);
    return resolve(path);
  };
  return { captions: absolute("captions"), tuning: absolute("tuning"), images: absolute("images") };
}

/** @throws ConfigError when the study has no tokenizer or language model like the recipe's */
function requireParts({ name, ...recipe }: Recipe, study: string, settings: StudySettings): void {
  const made = planStudy(settings).map((part) => part.name);
  const lacking = sharedParts(recipe).filter((part) => !made.includes(part));
  if (lacking.length === 0) return;
  throw new ConfigError(
    `${name} needs ${lacking.join(", ")}, which the study ${study} does not make: ` +
      "name another study with --set startFrom=FOLDER, or one that is made first",
  );
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
  const different = differences(begun, recipe);
  if (different.length > 0) {
    throw new ConfigError(`${out} holds another run: ${different.join("; ")}. Choose another folder with --out.`);
  }
}

/** Where two recipes differ: "stages.tuning.steps is 800 there, 400 now". */
function differences(there: unknown, now: unknown, path = ""): string[] {
  const areObjects = [there, now].every((value) => typeof value === "object" && value !== null);
  if (!areObjects) {
    return there === now ? [] : [`${path} is ${JSON.stringify(there)} there, ${JSON.stringify(now)} now`];
  }
  const [first, second] = [there, now] as Record<string, unknown>[];
  const keys = new Set([...Object.keys(first!), ...Object.keys(second!)]);
  return [...keys].flatMap((key) => differences(first![key], second![key], path ? `${path}.${key}` : key));
}
