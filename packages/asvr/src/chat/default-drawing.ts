import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { parseConfig, readConfig } from "../checkpoints/config-place.js";
import type { SamplingOptions } from "../language/decoding/sampling.js";

const generationConfig = z.object({
  do_sample: z.boolean().optional(),
  temperature: z.number().min(0).max(100).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_k: z.int().min(0).optional(),
});

/** Of transformers, where a file that wants to be drawn from says none; 0 means all. */
const DEFAULT_TOP_K = 50;

/**
 * How a checkpoint's answers are drawn where nobody says otherwise: as its `generation_config.json` says, which
 * transformers reads so too; greedy without one.
 * @throws ConfigError
 */
export function defaultDrawing(folder: string): SamplingOptions {
  const file = join(folder, "generation_config.json");
  if (!existsSync(file)) return {};
  const config = parseConfig(generationConfig, readConfig(file), { file });
  if (!config.do_sample) return {};
  const { temperature = 1, top_p: topP = 1, top_k: topK = DEFAULT_TOP_K } = config;
  return { temperature, topP, ...(topK > 0 && { topK }) };
}

/** Such as "greedy", or "drawn at temperature 0.7, top_p 0.8, top_k 20". */
export function describeDrawing({ temperature = 0, topP = 1, topK }: SamplingOptions): string {
  if (temperature === 0) return "greedy";
  const cuts = [topP < 1 && `top_p ${topP}`, topK !== undefined && `top_k ${topK}`].filter(Boolean);
  return `drawn at ${[`temperature ${temperature}`, ...cuts].join(", ")}`;
}
