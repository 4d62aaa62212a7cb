import { Command, InvalidArgumentError } from "commander";
import type { ChatOptions } from "./chat.js";
import { withOpeningOptions } from "./opening.js";
import { collect, positive } from "./options.js";
import type { ServeOptions } from "./serve.js";

function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`it must be a number from ${least} to ${most}.`);
  };
}

function port(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= 65_535 && text.trim() !== "") return value;
  throw new InvalidArgumentError("it must be a whole number from 0 to 65535; 0 takes a free one.");
}

export function chatCommand(): Command {
  const command = new Command("chat")
    .description("talk with a model about pictures, or ask it once")
    .argument("<checkpoint>", "a published model (folder, GGUF file or hub id), or a run, as runs/demo/asvr-s0")
    .option("--image <file>", "a picture to talk about; may be repeated", collect, [])
    .option("--prompt <text>", "ask this, print the answer and exit")
    .option("--system <text>", "what the model is told before the conversation")
    .option("--max-new-tokens <count>", "longest answer", positive, 512)
    .option(
      "--temperature <number>",
      "0: always the likeliest word; 1: as the model says (default: the checkpoint's own, else 0)",
      number(0, 100),
    )
    .option(
      "--top-p <number>",
      "draw from the likeliest words that have this probability together (default: as above, else 1)",
      number(0, 1),
    )
    .option("--seed <number>", "of what is drawn", Number, 0);
  return withOpeningOptions(command)
    .option("--json", "with --prompt: print answer and counts as one JSON object", false)
    .addHelpText(
      "after",
      `
In a conversation: /image FILE shows a picture with the next message, /reset begins anew, /exit ends. Ctrl-C stops an
answer; where there is none, it ends.

Examples:
  asvr chat runs/demo/asvr-s0 --image picture.png
  asvr chat llava-1.5-7b-hf --image picture.png --prompt "What is in this picture?"`,
    )
    .action(async (checkpoint: string, options: ChatOptions) => (await import("./chat.js")).chat(checkpoint, options));
}

export function serveCommand(): Command {
  const command = new Command("serve")
    .description("serve a model over HTTP, as OpenAI's interface has it")
    .argument("<checkpoint>", "a published model (folder, GGUF file or hub id), or a run, as runs/demo/asvr-s0")
    .option("--host <address>", "where to listen; other than this machine needs a token", "127.0.0.1")
    .option("--port <number>", "0 takes a free one", port, 8000)
    .option("--token <text>", "what requests must show as Authorization: Bearer (default: ASVR_TOKEN)")
    .option(
      "--allow-host <name>",
      "a name beside localhost that requests may call this machine by; may be repeated",
      collect,
      [],
    )
    .option("--allow-files <folder>", "requests may name pictures in it by file:// URLs")
    .option("--model-name <name>", "what requests call the model (default: the folder's name)")
    .option("--max-concurrent <count>", "requests that are answered side by side", positive, 32)
    .option("--queue <count>", "requests that may wait", positive, 96)
    .option("--cache-mb <count>", "memory for pictures and beginnings that were read already", positive, 768)
    .option("--max-body-mb <count>", "largest request", positive, 32)
    .option("--max-image-pixels <count>", "of a request's pictures together", positive, 50_000_000)
    .option("--request-timeout <seconds>", "longest time for an answer", number(0.001, 86_400), 600);
  return withOpeningOptions(command)
    .option("--json", "print the address, and how answers are drawn, as one JSON object", false)
    .addHelpText(
      "after",
      `
POST /v1/chat/completions and /v1/responses take messages with pictures as data URLs, and stream where asked to; GET
/v1/models and /health tell what is there. Each request is a line on standard error. Ctrl-C, or SIGTERM, finishes the answers that run; once more ends at once.

Example:
  asvr serve runs/demo/asvr-s0 --port 8000 --allow-files pictures`,
    )
    .action(async (checkpoint: string, options: ServeOptions) =>
      (await import("./serve.js")).serve(checkpoint, options),
    );
}
