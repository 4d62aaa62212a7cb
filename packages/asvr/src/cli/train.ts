import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setThreads } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { derive, override, type Recipe } from "../recipes/recipe.js";
import { recipeNamed, rowNotes, type Scale, type Table1Row } from "../recipes/table1.js";
import { Lock } from "../reproduce/lock.js";
import { fasterMatmul } from "../reproduce/matmul.js";
import { writeJson } from "../reproduce/parts/part.js";
import { runRow } from "../reproduce/parts/row.js";
import { sharedParts } from "../reproduce/plan.js";
import { demoSettings } from "../reproduce/settings.js";
import { readSettings, runStudy } from "../reproduce/study.js";
import { readRecipe, studyOf } from "../reproduce/trained-row.js";
import { commandContext } from "./context.js";
import { interruptSignal, oneOf, printJson } from "./options.js";
import { progressDisplay } from "./progress.js";

export interface TrainOptions {
  scale: string;
  from: string;
  out: string;
  seed: number;
  set: string[];
  json: boolean;
}

/** Trains one recipe on the shared parts of a study. */
export async function train(name: string, options: TrainOptions): Promise<void> {
  const scale = oneOf<Scale>("--scale", options.scale, ["micro"]);
  const display = progressDisplay();
  const signal = interruptSignal(display);
  // A study's folder has its settings; a new one gets the demo's.
  const settings = existsSync(join(options.from, "settings.json"))
    ? await readSettings(options.from)
    : { ...demoSettings, matmul: fasterMatmul(demoSettings.threads) };
  const recipe = recipeOf(name, scale, settings.threads, options);
  const study = resolve(options.from);
  await requireSameRun(options.out, recipe, study);
  let lock: Lock | undefined;
  try {
    await runStudy({
      folder: options.from,
      settings,
      only: sharedParts,
      command: `asvr ${process.argv.slice(2).join(" ")}`,
      signal,
      onStart: (part) => display.start(part),
      onProgress: (part, progress) => display.update(part, progress),
      onDone: (part, { seconds, detail }) => display.done(part, seconds, detail),
    });
    display.start(options.out);
    await mkdir(options.out, { recursive: true });
    lock = await Lock.hold(join(options.out, "train.lock"), { what: options.out });
    const context = await commandContext(options.from, options.out, display, signal);
    setThreads(recipe.threads);
    await writeJson(join(options.out, "from.json"), { study });
    const started = performance.now();
    const detail = await runRow(context, recipe, options.out);
    display.done(options.out, (performance.now() - started) / 1000, detail);
  } finally {
    await lock?.release();
    display.close();
  }
  const result = { run: options.out, recipe: recipe.name, seed: recipe.seed };
  if (options.json) printJson(result);
  else process.stdout.write(`${options.out}: trained and evaluated; asvr eval ${options.out} shows its scores\n`);
}

function recipeOf(name: string, scale: Scale, threads: number, { seed, set }: TrainOptions): Recipe {
  const recipe = set.reduce(override, derive(recipeNamed(name, scale), { seed, threads }));
  if (recipe.scale !== "micro") {
    throw new ConfigError(`${name} at scale ${recipe.scale} needs data that is not here yet`);
  }
  const row = name.split("/")[1] as Table1Row;
  if (rowNotes(row).role === "equal-time") {
    throw new ConfigError(
      `${name} gets its steps from a study's calibration: run asvr reproduce table1 --rows ${row}, ` +
        "or train micro/llava with --set stages.tuning.steps=COUNT",
    );
  }
  return recipe;
}

/** A run folder goes on with the recipe that it was begun with, and with nothing else. @throws ConfigError */
async function requireSameRun(out: string, recipe: Recipe, study: string): Promise<void> {
  if (existsSync(join(out, "settings.json"))) {
    throw new ConfigError(`${out} is the folder of a study: choose another one for the run with --out`);
  }
  if (!existsSync(join(out, "recipe.json"))) return;
  if (!existsSync(join(out, "from.json"))) {
    throw new ConfigError(`${out} is a row of the study ${dirname(resolve(out))}: choose another folder with --out`);
  }
  const begun = await studyOf(out);
  const different = [
    ...(begun === study ? [] : [`the study is ${begun} there, ${study} now`]),
    ...differences(await readRecipe(out), recipe),
  ];
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
