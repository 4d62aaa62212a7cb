import { ConfigError } from "../errors.js";
import { withTokenizers } from "../parts/settings.js";
import type { Scale } from "../recipes/baselines.js";
import { derive, override, type Recipe } from "../recipes/recipe.js";
import { recipeNamed } from "../recipes/tables.js";
import { trainingStart, trainRecipe } from "../studies/train-recipe.js";
import type { Trained } from "../studies/trained-run.js";
import { interruptSignal, oneOf, printJson } from "./options.js";
import { print } from "./printable.js";
import { duration, progressDisplay } from "./progress.js";

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
  const { out, maxBad, json } = options;
  const scale = oneOf<Scale>("--scale", options.scale, ["micro", "small", "paper"]);
  const display = progressDisplay();
  const signal = interruptSignal(display);
  const recipe = await recipeOf(name, scale, options);
  let trained: Trained;
  try {
    trained = await trainRecipe(recipe, {
      ...{ out, maxBad, signal },
      onStart: (part) => display.start(part),
      onProgress: (part, progress) => display.update(part, progress),
      onDone: (part, { seconds, detail }) => display.done(part, seconds, detail),
      onNote: (text) => display.note(text),
    });
  } finally {
    display.close();
  }
  if (json) printJson(trained);
  else print(`${describeTrained(trained)}${nextStep(recipe, out)}\n`);
}

function nextStep({ data }: Recipe, out: string): string {
  if (data.tuning === null) return `asvr eval ${out} shows its scores`;
  return `asvr eval ${out} --data FILE --images FOLDER asks it what you have held out`;
}

async function recipeOf(name: string, scale: Scale, { seed, set }: TrainOptions): Promise<Recipe> {
  for (const setting of ["name", "scale"]) {
    if (!set.some((assignment) => assignment.startsWith(`${setting}=`))) continue;
    throw new ConfigError(`--set ${setting}: the argument RECIPE and --scale say it`);
  }
  const base = derive(recipeNamed(name, scale), { seed });
  const { settings } = await trainingStart(set.reduce(override, base));
  // The tokenizers learn and the run computes as its study says; what is set comes after that.
  return set.reduce(override, derive(withTokenizers(settings, base), { threads: settings.threads }));
}

/** What was trained in words: a line for each stage and for each thing that was written. */
function describeTrained({ run, stages, files }: Trained): string {
  const lines = Object.entries(stages).map(([stage, { steps, firstLoss, loss, seconds, records, pictures }]) => {
    const data = records === undefined ? "" : `, ${records} records, ${pictures} pictures`;
    return [stage, `${steps} steps in ${duration(seconds)}, loss ${firstLoss.toFixed(3)} to ${loss.toFixed(3)}${data}`];
  });
  const rows = [...lines, ...Object.entries(files)].map(([name, text]) => `  ${name!.padEnd(12)}${text}\n`);
  return `${run}: trained\n${rows.join("")}`;
}
