import { defineRecipe, derive, type Recipe } from "./recipe.js";

export const scales = ["micro", "small", "paper"] as const;
export type Scale = (typeof scales)[number];

/** LLaVA-1.5 with SigLIP and Vicuna-7B, by sizes and settings alone: those of the authors' released scripts. */
const llava = defineRecipe({
  name: "table1/llava",
  title: "text supervision only",
  source: "Sec. 4.1, Table 1; learning rates and batches from the authors' released scripts",
  scale: "paper",
  visualInput: "continuous",
  normaliseFeatures: false,
  encoder: {
    imageSize: 384,
    patchSize: 14,
    hiddenSize: 1152,
    intermediateSize: 4304,
    numHiddenLayers: 27,
    numAttentionHeads: 16,
    selectLayer: -2,
  },
  tokenizers: {
    semantic: { depth: 8, codebookSize: 16_384, codeDim: 1152, layer: 26, sharedCodebook: true },
    appearance: { depth: 8, codebookSize: 16_384, codeDim: 1152, layer: 6, sharedCodebook: true },
  },
  language: {
    hiddenSize: 4096,
    intermediateSize: 11_008,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    numKeyValueHeads: 32,
    tieWordEmbeddings: false,
  },
  visualHead: { embedDim: 2048, headDim: 128, layers: 3 },
  supervision: { kind: "none", alignment: "same", weight: 1 },
  stages: {
    pretraining: {
      trainable: ["projector", "visualHead"],
      data: "captions",
      template: "plain",
      steps: 2181, // one epoch of LLaVA-558K
      batchSize: 256,
      learningRate: 1e-3,
    },
    tuning: {
      trainable: ["projector", "visualHead", "language"],
      data: "tuning",
      template: "v1",
      steps: 5198, // one epoch of LLaVA-1.5-665K
      batchSize: 128,
      learningRate: 2e-5,
    },
  },
  seed: 0,
  threads: 1,
});

/** The baseline of Table 1: the same, with the names of what it is made from. */
const paperBaseline = derive(llava, {
  encoder: { checkpoint: "siglip-so400m-patch14-384" },
  tokenizers: { semantic: { checkpoint: "vq-siglip-12m" } },
  language: { backbone: "vicuna-7b-v1.5" },
  stages: { pretraining: { dataset: "LLaVA-558K" }, tuning: { dataset: "LLaVA-1.5-665K" } },
});

/** The baseline of the micro scale runs in minutes on a CPU: smaller in every size, trained on the embedded world. */
const microBaseline = derive(llava, {
  scale: "micro",
  source: "the micro experiment: sizes and steps chosen for minutes on two cores",
  normaliseFeatures: true,
  encoder: {
    imageSize: 56,
    hiddenSize: 128,
    intermediateSize: 512,
    numHiddenLayers: 4,
    numAttentionHeads: 4,
  },
  tokenizers: {
    semantic: { depth: 4, codebookSize: 256, codeDim: 128, layer: 3, sharedCodebook: false },
    appearance: { depth: 4, codebookSize: 256, codeDim: 32, layer: 1, sharedCodebook: false },
  },
  language: {
    hiddenSize: 128,
    intermediateSize: 344,
    numHiddenLayers: 3,
    numAttentionHeads: 4,
    numKeyValueHeads: 4,
    tieWordEmbeddings: true,
  },
  visualHead: { embedDim: 96, headDim: 24, layers: 2 },
  stages: {
    pretraining: { steps: 200, batchSize: 32, learningRate: 1e-3, warmupRatio: 0.05, betas: [0.9, 0.98] },
    tuning: { steps: 1600, batchSize: 8, learningRate: 1e-3, warmupRatio: 0.05, betas: [0.9, 0.98], template: "micro" },
  },
});

/**
 * The micro world's pictures, encoder and tokenizers under a language model that was trained by others: SmolLM2-135M
 * Instruct, asked with its own template. Features reach the projector as they are, as in LLaVA.
 */
const smallBaseline = derive(microBaseline, {
  scale: "small",
  source: "the small experiment: a published language model of 135M parameters, steps chosen for an hour on two cores",
  normaliseFeatures: false,
  language: {
    hiddenSize: 576,
    intermediateSize: 1536,
    numHiddenLayers: 30,
    numAttentionHeads: 9,
    numKeyValueHeads: 3,
    ropeTheta: 100_000,
    tieWordEmbeddings: true,
  },
  stages: {
    pretraining: { steps: 100, batchSize: 4, learningRate: 1e-3 },
    tuning: { steps: 450, batchSize: 3, learningRate: 2e-4, template: "smollm2" },
  },
});

/** What every row of every table is derived from, by scale. */
export const baselines: Readonly<Record<Scale, Recipe>> = {
  micro: microBaseline,
  small: smallBaseline,
  paper: paperBaseline,
};
