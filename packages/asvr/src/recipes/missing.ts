import { ConfigError } from "../errors.js";
import type { Recipe } from "./recipe.js";

/** Hub ids of what recipes call by a short name. */
const published: Readonly<Record<string, string>> = {
  "siglip-so400m-patch14-384": "google/siglip-so400m-patch14-384",
  "siglip2-so400m-patch14-384": "google/siglip2-so400m-patch14-384",
  "vicuna-7b-v1.5": "lmsys/vicuna-7b-v1.5",
  "vicuna-13b-v1.5": "lmsys/vicuna-13b-v1.5",
  "mistral-7b": "mistralai/Mistral-7B-v0.1",
};

/** Records and published weights that a recipe is trained from, by name. */
export interface Ingredients {
  data: string[];
  checkpoints: string[];
}

export function ingredientsOf(recipe: Recipe): Ingredients {
  const { encoder, tokenizers, language, supervision, stages } = recipe;
  const present = (names: readonly (string | false | undefined)[]) => names.filter((name) => typeof name === "string");
  const named = (name: string | undefined) => name && (published[name] ?? name);
  const { checkpoint } = tokenizers.semantic;
  return {
    data: present([stages.pretraining.dataset, stages.middle?.dataset, stages.tuning.dataset]),
    checkpoints: present([
      named(encoder.checkpoint),
      named(language.backbone),
      readsSemantic(recipe) && checkpoint,
      readsAppearance(recipe) && checkpoint && "DualToken's appearance codes",
      supervision.denoises === "vae" && "a VAE for ROSS",
    ]),
  };
}

/** Whether a recipe's model reads or predicts semantic codes. */
export function readsSemantic({ supervision, visualInput }: Recipe): boolean {
  return ["semantic", "dual", "control"].includes(supervision.kind) || visualInput === "discrete";
}

export function readsAppearance({ supervision }: Recipe): boolean {
  return ["appearance", "dual"].includes(supervision.kind);
}

/** What this version lacks for training a recipe, in words; nothing where it can be trained. */
export function missingFor(recipe: Recipe): string[] {
  const { encoder, supervision, stages, tokenizers, scale } = recipe;
  const isForeign = (checkpoint: string | undefined) =>
    checkpoint !== undefined && !checkpoint.startsWith("vq-siglip-");
  return [
    scale === "paper" && "training at scale paper: its data are not fetched, and the trainer knows one device",
    encoder.tilesAside !== undefined && "tiles (AnyRes) in packed training",
    supervision.kind === "denoising" &&
      `a supervision that denoises ${supervision.denoises === "vae" ? "VAE" : "SigLIP"} features (ROSS)`,
    stages.middle !== undefined && "a stage between pretraining and tuning",
    encoder.checkpoint === "siglip2-so400m-patch14-384" && "SigLIP 2 as the encoder of a training",
    isForeign(tokenizers.semantic.checkpoint) &&
      supervision.kind === "semantic" &&
      `codes of ${tokenizers.semantic.checkpoint} in training: they are another encoder's`,
  ].filter((what) => typeof what === "string");
}

/** @throws ConfigError that names everything that this version lacks for training the recipe */
export function requireRunnable(recipe: Recipe): void {
  const missing = missingFor(recipe);
  if (missing.length === 0) return;
  throw new ConfigError(
    `${recipe.name} at scale ${recipe.scale} cannot be run yet. What is missing: ${missing.join("; ")}. ` +
      "asvr reproduce TABLE --plan shows what it would need.",
  );
}
