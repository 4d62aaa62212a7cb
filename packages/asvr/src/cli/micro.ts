import { Command } from "commander";
import { buildMicroWorld, DEFAULT_MICRO_SIZES, THINGS_NAMES, type ThingsName } from "../micro/index.js";
import { oneOf, positive, printJson, wholeNumber } from "./options.js";
import { progressDisplay } from "./progress.js";

export function microCommand(): Command {
  const build = new Command("build")
    .description("write the micro world: pictures, LLaVA-format records, tokenizer, manifest with licences")
    .requiredOption("--out <folder>", "folder to make")
    .option("--seed <seed>", "draws everything; equal seeds give equal bytes", wholeNumber, 0)
    .option("--things <set>", `what can stand in a scene: ${THINGS_NAMES.join(" or ")}`, "standard")
    .option("--train <count>", "training pictures", positive, DEFAULT_MICRO_SIZES.train)
    .option("--test <count>", "test pictures with drawings seen in training", positive, DEFAULT_MICRO_SIZES.test)
    .option("--novel <count>", "test pictures with unseen drawings", positive, DEFAULT_MICRO_SIZES.novel)
    .option("--encoder <count>", "pictures that the encoder learns from", positive, DEFAULT_MICRO_SIZES.encoder)
    .option("--text <count>", "scenes that are only told", positive, DEFAULT_MICRO_SIZES.text)
    .option("--json", "print the manifest as one JSON object", false)
    .addHelpText("after", "\nExample:\n  asvr micro build --out data/micro --seed 1")
    .action(async ({ out, seed, train, test, novel, encoder, text, json, ...options }) => {
      const things = oneOf<ThingsName>("--things", options.things, THINGS_NAMES);
      const display = progressDisplay();
      display.start("micro world");
      const started = performance.now();
      const manifest = await buildMicroWorld({
        out,
        seed,
        things,
        sizes: { encoder, text, train, test, novel },
        onProgress: ({ phase, done, total }) => display.update("micro world", { phase, done, total }),
      });
      display.done("micro world", (performance.now() - started) / 1000, out);
      display.close();
      if (json) printJson(manifest);
      else process.stdout.write(`${manifest.provenance}\n`);
    });
  return new Command("micro").description("the embedded world of pictures and questions").addCommand(build);
}
