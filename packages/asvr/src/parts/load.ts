import { join } from "node:path";
import { type nn, readSafetensors, tidy } from "@asvr/torch";
import { buildAppearanceBranch, buildEncoder, buildSemanticBranch } from "../model/build.js";
import type { AppearanceBranch } from "../tokenizers/appearance-branch.js";
import type { SemanticBranch } from "../tokenizers/semantic-branch.js";
import type { TextAlignedBranch } from "../tokenizers/text-aligned-branch.js";
import type { SiglipVisionTower } from "../vision/siglip.js";
import type { TokenizersSettings } from "./identity.js";
import { files } from "./layout.js";

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

/** The folders of the parts that look at pictures. */
export interface FrozenFolders {
  encoder: string;
  tokenizers: string;
}

/** The encoder and both tokenizers of a study, frozen. */
export function loadFrozenParts(folders: FrozenFolders, settings: TokenizersSettings): FrozenParts {
  const encoder = loadWeights(buildEncoder(settings), join(folders.encoder, files.encoder));
  const branch = (kind: "semantic" | "appearance") => join(folders.tokenizers, files.tokenizer(kind));
  const semantic = loadWeights(buildSemanticBranch(settings, encoder), branch("semantic"));
  const appearance = loadWeights(buildAppearanceBranch(settings, encoder), branch("appearance"));
  for (const part of [encoder, semantic, appearance]) part.setTrainable(false);
  return { encoder, semantic, appearance };
}
