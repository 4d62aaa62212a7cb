import type { Command } from "commander";
import type { OpenOptions } from "../chat/open.js";
import { builtInTemplates } from "../language/built-in-templates.js";
import { oneOf, threadCount } from "./options.js";

/** How a checkpoint is opened to be asked. */
export interface OpeningOptions {
  dtype?: string;
  template?: string;
  base?: string;
  visionTower?: string;
  revision?: string;
  threads?: number;
}

const dtypes = ["float32", "bfloat16", "float16"] as const;
const templates = Object.keys(builtInTemplates) as (keyof typeof builtInTemplates)[];

export function withOpeningOptions(command: Command): Command {
  return command
    .option("--dtype <dtype>", "of a published model's weights: float32, bfloat16 or float16 (default: as stored)")
    .option("--template <name>", `of a checkpoint without a chat template: ${templates.join(", ")}`)
    .option("--base <folder>", "language model of a folder that holds a projector alone")
    .option("--vision-tower <folder>", "vision tower of a folder that only names it")
    .option("--revision <name>", "of a hub id: branch, tag or commit")
    .option("--threads <count>", "threads of one operator (default: one for each core)", threadCount);
}

/** @throws ConfigError for a dtype or a template that there is not */
export function openOptions({ dtype, template, base, visionTower, revision }: OpeningOptions): OpenOptions {
  return {
    ...(dtype !== undefined && { dtype: oneOf("--dtype", dtype, dtypes) }),
    ...(template !== undefined && { template: oneOf("--template", template, templates) }),
    ...(base !== undefined && { base }),
    ...(visionTower !== undefined && { visionTower }),
    ...(revision !== undefined && { revision }),
  };
}
