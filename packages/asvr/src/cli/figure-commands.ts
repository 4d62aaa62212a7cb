import { Command, InvalidArgumentError, Option } from "commander";
import type { Chosen } from "../analysis/picture-attention.js";
import type { AttentionOptions } from "./attention.js";
import { positive, wholeNumber } from "./options.js";

/** What shows how a model sees a picture. */
export function figureCommands(): Command[] {
  return [attentionCommand()];
}

function attentionCommand(): Command {
  return new Command("attention")
    .description("ask a model about a picture, and show where its last token looks")
    .argument("<checkpoint>", "run folder, or the folder or hub id of a published LLaVA")
    .option("--image <file>", "the picture")
    .option("--question <text>", "the question")
    .option(
      "--cases <file>",
      "many of them, as one page: a JSON array of {image, question}; paths as seen from the file",
    )
    .option("--baseline <checkpoint>", "another model, side by side")
    .option("--layers <mean|numbers>", "mean of all layers, or of these: numbers from 0, with commas", chosen, "mean")
    .option("--heads <mean|numbers>", "mean of all heads, or of these", chosen, "mean")
    .addOption(
      new Option("--at <moment>", "before the answer (the prompt's last token), or after it (the answer's)")
        .choices(["before", "after"])
        .default("before"),
    )
    .option("--max-new-tokens <count>", "longest answer", positive, 64)
    .option(
      "--out <folder>",
      "write overlay.png, attention.json and attention.safetensors there; of --cases index.html",
    )
    .option("--json", "print answer and attention as one JSON object", false)
    .addHelpText(
      "after",
      `
attention.safetensors has the weights of all layers and heads, before and after the answer: (layers, heads, rows,
columns). Of a model that sees tiles the map is that of the whole picture.

Examples:
  asvr attention runs/demo/asvr-s0 --image runs/demo/data/images/test-seen/000003.png --question "what at top-left ?"
  asvr attention runs/demo/asvr-s0 --baseline runs/demo/llava-s0 --cases cases.json --out figures`,
    )
    .action(async (checkpoint: string, options: AttentionOptions) =>
      (await import("./attention.js")).attention(checkpoint, options),
    );
}

/** "mean", or numbers with commas. */
function chosen(text: string): Chosen {
  if (text === "mean") return text;
  const numbers = text.split(",").map((part) => {
    if (part.trim() === "") throw new InvalidArgumentError("it must be mean, or numbers from 0 with commas.");
    return wholeNumber(part);
  });
  return [...new Set(numbers)];
}
