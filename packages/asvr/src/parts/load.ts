import { type nn, readSafetensors, tidy } from "@asvr/torch";
import { buildAppearanceBranch, buildEncoder, buildSemanticBranch } from "../model/build.js";
import type { Recipe } from "../recipes/recipe.js";
import type { AppearanceBranch } from "../tokenizers/appearance-branch.js";
import type { SemanticBranch } from "../tokenizers/semantic-branch.js";
import type { TextAlignedBranch } from "../tokenizers/text-aligned-branch.js";
import type { SiglipVisionTower } from "../vision/siglip.js";
import { layout } from "./layout.js";

/** Copies the weights of a file into a module. @throws CheckpointError */
export function loadWeights<T extends nn.Module>(module: T, file: string): T {
  tidy(() => module.load(readSafetensors(file).tensors));
  return module;
}

export interface FrozenParts {
  encoder: SiglipVisionTower;
  semantic: SemanticBranch | TextAlignedBranch;
  appearance: AppearanceBranch;
}

/** The encoder and both tokenizers of a study, frozen. */
export function loadFrozenParts(folder: string, recipe: Recipe): FrozenParts {
  const encoder = loadWeights(buildEncoder(recipe), layout.encoder(folder));
  const semantic = loadWeights(buildSemanticBranch(recipe, encoder), layout.tokenizer(folder, recipe, "semantic"));
  const appearance = loadWeights(
    buildAppearanceBranch(recipe, encoder),
    layout.tokenizer(folder, recipe, "appearance"),
  );
  for (const part of [encoder, semantic, appearance]) part.setTrainable(false);
  return { encoder, semantic, appearance };
}
