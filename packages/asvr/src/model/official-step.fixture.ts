// The model of the authors' training step, from the weights of a golden and under the names of the release.
import { defaultDevice, nn, type Tensor } from "@asvr/torch";
import type { Golden } from "@asvr/torch/testing";
import { LlamaForCausalLM } from "../language/llama.js";
import { Projector } from "../layers/projector.js";
import { type Alignment, CodeSupervision } from "../supervision/supervision.js";
import { VisualHead } from "../supervision/visual-head.js";
import { ResidualQuantizer } from "../tokenizers/residual-quantizer.js";
import { type SiglipVisionConfig, SiglipVisionTower } from "../vision/siglip.js";
import { VisionLanguageModel } from "./lvlm.js";

export interface Config {
  vocab: number;
  hidden: number;
  inter: number;
  layers: number;
  heads: number;
  kv_heads: number;
  /** Mistral's sliding window. */
  window?: number | null;
  rms_norm_eps: number;
  rope_theta: number;
  v_hidden: number;
  v_inter: number;
  v_layers: number;
  v_heads: number;
  image: number;
  patch: number;
  t_hidden: number;
  t_inter: number;
  t_layers: number;
  t_heads: number;
  t_image: number;
  t_patch: number;
  layer_norm_eps: number;
  codes: number;
  depth: number;
  embed: number;
  head_dim: number;
  head_layers: number;
}

/** A norm for each group of parameters and for all together; null for a group without gradients. */
export type Norms = Record<string, number | null>;
export type TrajectoryStep = Record<"loss" | "loss_text" | "loss_vision" | "grad_norm", number>;

export interface Sidecar {
  samples: { length: number; has_image: boolean }[];
  gradient_norms: {
    stage2: Record<"loss" | "loss_text" | "loss_vision", Norms>;
    stage2_shifted: Norms;
    stage1: { trainable: string[]; norms: Norms };
  };
  trajectories: Record<string, TrajectoryStep[] | string>;
  tolerance: { trajectories: { rtol: number } };
  tensors: Record<string, { what?: string }>;
}

export const tokenizerWeights = "model.vision_tokenizer.vision_tower.rqvaesiglip.";
export const device = defaultDevice();

export function towerConfig({ layer_norm_eps }: Config) {
  return { head: "none", activation: "gelu-tanh", epsilon: layer_norm_eps } as const;
}

export function buildTower(golden: Golden<Config, Sidecar>): SiglipVisionTower {
  const { v_hidden, v_inter, v_layers, v_heads, image, patch } = golden.config;
  const config: SiglipVisionConfig = {
    ...towerConfig(golden.config),
    ...{ dim: v_hidden, mlpDim: v_inter, layers: v_layers, heads: v_heads, imageSize: image, patchSize: patch },
  };
  const tower = nn.creating({ device }, () => new SiglipVisionTower(config));
  tower.setTrainable(false);
  return tower.load(golden.weights("model.vision_tower.vision_tower.vision_model."));
}

export function buildQuantizer(golden: Golden<Config, Sidecar>): ResidualQuantizer {
  const { t_hidden, codes, depth } = golden.config;
  const config = { dim: t_hidden, codebookSize: codes, depth, shared: true };
  const quantizer = nn.creating({ device }, () => new ResidualQuantizer(config));
  return quantizer.load(golden.weights(`${tokenizerWeights}quantizer_semantic.`));
}

export function buildModel(golden: Golden<Config, Sidecar>, alignment: Alignment): VisionLanguageModel {
  const { config } = golden;
  const weights = new Map<string, Tensor>();
  for (const [official, weight] of golden.weights()) {
    const name = ownName(official);
    if (name) weights.set(name, weight);
  }
  const model = nn.creating({ device }, () => {
    const language = new LlamaForCausalLM({
      vocabSize: config.vocab,
      hiddenSize: config.hidden,
      intermediateSize: config.inter,
      numHiddenLayers: config.layers,
      numAttentionHeads: config.heads,
      numKeyValueHeads: config.kv_heads,
      ropeTheta: config.rope_theta,
      rmsNormEps: config.rms_norm_eps,
      tieWordEmbeddings: !weights.has("language.lm_head.weight"),
      attentionBias: weights.has("language.model.layers.0.self_attn.q_proj.bias"),
      slidingWindows: Array<number | null>(config.layers).fill(config.window ?? null),
    });
    const head = new VisualHead({
      hiddenSize: config.hidden,
      embedDim: config.embed,
      headDim: config.head_dim,
      layers: config.head_layers,
      depth: config.depth,
      codebookSize: config.codes,
      codeDim: config.t_hidden,
    });
    const embeddings = {
      embed(codes: Tensor) {
        using quantizer = buildQuantizer(golden);
        return quantizer.lookup(codes);
      },
    };
    const supervision = new CodeSupervision("semantic", head, embeddings);
    const projector = new Projector(config.v_hidden, config.hidden);
    return new VisionLanguageModel({ language, projector, supervision }, alignment);
  });
  return model.load(weights);
}

/** Our name of a weight of the release, or undefined for what is no part of the trained model. */
export function ownName(official: string): string | undefined {
  if (/\.linear[12]\.bias$/.test(official)) return undefined; // in the checkpoint, but never read
  const moved = {
    "model.mm_projector.": "projector.",
    "projector.": "supervision.projector.",
    "model.vision_tokenizer.vision_tower.rqtransformer_semantic.": "supervision.rqtransformer_semantic.",
  };
  for (const [from, to] of Object.entries(moved)) if (official.startsWith(from)) return official.replace(from, to);
  return official.startsWith("model.vision_to") ? undefined : `language.${official}`;
}
