import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { ConfigError } from "../errors.js";
import { derive, override } from "../recipes/recipe.js";
import { recipeNamed, type Scale } from "../recipes/table1.js";
import { fasterMatmul } from "../reproduce/matmul.js";
import { writeJson } from "../reproduce/parts/part.js";
import { runRow } from "../reproduce/parts/row.js";
import { sharedParts } from "../reproduce/plan.js";
import { demoSettings } from "../reproduce/settings.js";
import { readSettings, runStudy } from "../reproduce/study.js";
import { commandContext } from "./context.js";
import { collect, interruptSignal, oneOf, printJson, wholeNumber } from "./options.js";
import { progressDisplay } from "./progress.js";

interface Options {
  scale: string;
  from: string;
  out: string;
  seed: number;
  set: string[];
  json: boolean;
}

export function trainCommand(): Command {
  return new Command("train")
    .description("train one recipe through its stages and answer the test sets with it")
    .argument("<recipe>", "table1/ROW, or micro/ROW")
    .requiredOption("--out <folder>", "run folder")
    .option("--scale <scale>", "micro", "micro")
    .option(
      "--from <study>",
      "folder whose encoder, tokenizers and text model are used; made first where missing",
      "runs/demo",
    )
    .option("--seed <seed>", "draws initialisations and the order of the data", wholeNumber, 0)
    .option("--set <path=value>", "override one setting of the recipe; may be repeated", collect, [])
    .option("--json", "print the result as one JSON object", false)
    .addHelpText(
      "after",
      `
Example:
  asvr train micro/asvr --seed 3 --set stages.tuning.steps=1600 --out runs/longer`,
    )
    .action(async (name: string, options: Options) => {
      const scale = oneOf<Scale>("--scale", options.scale, ["micro"]);
      const recipe = options.set.reduce(override, derive(recipeNamed(name, scale), { seed: options.seed }));
      if (recipe.scale !== "micro")
        throw new ConfigError(`${name} at scale ${recipe.scale} needs data that is not here yet`);
      const display = progressDisplay();
      const signal = interruptSignal();
      try {
        // A study's folder has its settings; a new one gets the demo's.
        const settings = existsSync(join(options.from, "settings.json"))
          ? await readSettings(options.from)
          : { ...demoSettings, matmul: fasterMatmul(demoSettings.threads) };
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
        const context = await commandContext(options.from, options.out, display, signal);
        await mkdir(options.out, { recursive: true });
        await writeJson(join(options.out, "from.json"), { study: resolve(options.from) });
        const started = performance.now();
        const detail = await runRow(context, recipe, options.out);
        display.done(options.out, (performance.now() - started) / 1000, detail);
      } finally {
        display.close();
      }
      const result = { run: options.out, recipe: recipe.name, seed: recipe.seed };
      if (options.json) printJson(result);
      else process.stdout.write(`${options.out}: trained and evaluated; asvr eval ${options.out} shows its scores\n`);
    });
}
