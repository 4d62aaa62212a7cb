import { ConfigError } from "../errors.js";
import { LlamaForCausalLM } from "../language/llama.js";
import { Projector } from "../layers/projector.js";
import type { Recipe } from "../recipes/recipe.js";
import { CodeSupervision, DualSupervision, type VisualSupervision } from "../supervision/supervision.js";
import { VisualHead } from "../supervision/visual-head.js";
import { AppearanceBranch } from "../tokenizers/appearance-branch.js";
import { SemanticBranch } from "../tokenizers/semantic-branch.js";
import { TextAlignedBranch } from "../tokenizers/text-aligned-branch.js";
import type { VisualTokenizer } from "../tokenizers/visual-tokenizer.js";
import { SiglipVisionTower } from "../vision/siglip.js";
import { VisionLanguageModel } from "./lvlm.js";

/** The networks that a recipe describes, with fresh weights. Whoever builds one loads or trains it. */

export function buildEncoder({
  encoder,
  scale,
}: Pick<Recipe, "scale"> & { encoder: Omit<Recipe["encoder"], "selectLayer"> }): SiglipVisionTower {
  return new SiglipVisionTower({
    imageSize: encoder.imageSize,
    patchSize: encoder.patchSize,
    dim: encoder.hiddenSize,
    mlpDim: encoder.intermediateSize,
    layers: encoder.numHiddenLayers,
    heads: encoder.numAttentionHeads,
    // A tower of a few layers learns faster from the mean over positions; the exact GELU is the faster one on a CPU.
    head: scale === "paper" ? "attention-pooling" : "mean",
    activation: scale === "paper" ? "gelu-tanh" : "gelu",
  });
}

/** Decay of the codebooks' running means, and below which use a code is given a new place. */
const learning = { kind: "rq", decay: 0.95, restartBelow: 0.03 } as const;

export function buildSemanticBranch(
  { tokenizers }: Pick<Recipe, "tokenizers">,
  encoder: SiglipVisionTower,
): SemanticBranch | TextAlignedBranch {
  const { depth, codebookSize, codeDim, layer, sharedCodebook: shared, learnedFrom } = tokenizers.semantic;
  if (learnedFrom === "text") {
    const quantizer = { dim: codeDim, depth, codebookSize, shared, update: learning };
    return new TextAlignedBranch(encoder, { layer, quantizer, commitmentWeight: 0.25 });
  }
  return new SemanticBranch(encoder, {
    layer,
    normaliseFeatures: true,
    quantizer: { depth, codebookSize, shared, update: learning },
  });
}

export function buildAppearanceBranch(
  { tokenizers }: Pick<Recipe, "tokenizers">,
  encoder: SiglipVisionTower,
): AppearanceBranch {
  const { depth, codebookSize, codeDim, layer, sharedCodebook: shared } = tokenizers.appearance;
  return new AppearanceBranch(encoder, {
    layer,
    quantizer: { dim: codeDim, depth, codebookSize, shared, update: learning },
    decoder: { dim: 96, mlpDim: 192, layers: 1, heads: 4, activation: "gelu" },
    commitmentWeight: 0.25,
  });
}

export function buildLanguageModel({ language }: Pick<Recipe, "language">, vocabSize: number): LlamaForCausalLM {
  const { backbone: _, ...sizes } = language;
  return new LlamaForCausalLM({ ...sizes, vocabSize, attentionBias: false });
}

export interface Tokenizers {
  semantic: VisualTokenizer;
  appearance: VisualTokenizer;
}

/** The vision-language model of a row. Its tokenizers are frozen and stay the caller's. */
export function buildVisionLanguageModel(
  recipe: Recipe,
  vocabSize: number,
  tokenizers: Tokenizers,
): VisionLanguageModel {
  const { visualInput, encoder } = recipe;
  const visualDim = visualInput === "continuous" ? encoder.hiddenSize : tokenizers.semantic.codeDim;
  return new VisionLanguageModel(
    {
      language: buildLanguageModel(recipe, vocabSize),
      projector: new Projector(visualDim, recipe.language.hiddenSize),
      supervision: buildSupervision(recipe, tokenizers),
    },
    recipe.supervision.alignment,
  );
}

function buildSupervision(recipe: Recipe, tokenizers: Tokenizers): VisualSupervision | null {
  const one = (target: "semantic" | "appearance") => {
    const tokenizer = tokenizers[target];
    const { depth, codebookSize, codeDim } = tokenizer;
    const { hiddenSize } = recipe.language;
    const head = new VisualHead({ ...recipe.visualHead, hiddenSize, depth, codebookSize, codeDim });
    return new CodeSupervision(target, head, tokenizer);
  };
  switch (recipe.supervision.kind) {
    case "none":
      return null;
    case "dual":
      return new DualSupervision(one("semantic"), one("appearance"));
    case "appearance":
      return one("appearance");
    case "semantic":
    case "control": // the same head; its targets are another picture's codes
      return one("semantic");
    case "denoising":
      throw new ConfigError(`${recipe.name}: a denoising supervision (ROSS) is not there yet`);
  }
}
