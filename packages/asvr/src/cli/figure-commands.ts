import { Command, InvalidArgumentError, Option } from "commander";
import type { Chosen } from "../analysis/picture-attention.js";
import type { AttentionOptions } from "./attention.js";
import { withOpeningOptions } from "./opening.js";
import { collect, positive, wholeNumber } from "./options.js";
import type { SurpriseOptions } from "./surprise.js";

/** What shows how a model sees a picture. */
export function figureCommands(): Command[] {
  return [attentionCommand(), surpriseCommand()];
}

function attentionCommand(): Command {
  const command = new Command("attention")
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
      "write index.html there, and overlay.png, attention.json and attention.safetensors of each case",
    )
    .option("--json", "print answer and attention as one JSON object", false);
  return withOpeningOptions(command)
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

function surpriseCommand(): Command {
  return new Command("surprise")
    .description("show which of a picture's codes a run expects, and which surprise it: what it saw and what it missed")
    .argument("<run>", "run folder of a row with visual supervision, as runs/demo/asvr-s0")
    .requiredOption("--image <file>", "the picture")
    .option("--question <text>", "what is asked: it matters where the template has it before the picture", "")
    .option(
      "--cell <row,column>",
      "a position, from 1, whose predicted codes are looked up; may be repeated",
      collect,
      [],
    )
    .option("--nearest <count>", "pictures of the study that are nearest to predicted codes; 0: none", wholeNumber, 4)
    .option("--out <folder>", "write a map a depth and of their sum, surprise.json, surprise.safetensors, index.html")
    .option("--json", "print the maps, in nats, as one JSON object", false)
    .addHelpText(
      "after",
      `
The codes are the picture's own, also of the control, which was taught those of other pictures.

Example:
  asvr surprise runs/demo/asvr-s0 --image runs/demo/data/images/test-seen/000003.png --out figures`,
    )
    .action(async (run: string, options: SurpriseOptions) => (await import("./surprise.js")).surprise(run, options));
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
