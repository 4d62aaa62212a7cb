import { ConfigError } from "../errors.js";
import type { LlamaConfig } from "../language/llama.js";
import type { RopeScaling } from "../language/rotary.js";
import { type Gelu, hubGelus } from "../layers/gelu.js";
import type { LlavaConfig } from "../model/llava.js";
import type { VisionConfig } from "../vision/tower.js";

/**
 * The config.json of Hugging Face's LlavaForConditionalGeneration for such a model: what `llavaConfig` reads back.
 * @param maxLength positions that the language model was made for
 * @throws ConfigError for what that class can't express
 */
export function hubLlavaConfig(config: LlavaConfig, maxLength: number): Record<string, unknown> {
  const { vision, selection, projector, language, imageTokenId } = config;
  const { layers } = selection;
  if (vision.kind !== "clip" && vision.kind !== "siglip") {
    throw new ConfigError(
      `its vision tower is of the kind ${vision.kind}: this build exports models with CLIP's and SigLIP's`,
    );
  }
  // "patches" drops the class token, where there is one.
  const patches = vision.kind === "clip" ? "default" : "full";
  const strategy = selection.strategy === "patches" ? patches : selection.strategy;
  return {
    architectures: ["LlavaForConditionalGeneration"],
    model_type: "llava",
    image_token_index: imageTokenId,
    // Only transformers up to 4.46 reads it. With fewer of a picture's tokens than this, as every step after the first has,
    // it takes an older path, which attends to the padding of a batch.
    image_seq_length: 0,
    vision_feature_layer: layers.length === 1 ? layers[0] : layers,
    vision_feature_select_strategy: strategy,
    projector_hidden_act: hubGelu(projector.activation ?? "gelu"),
    multimodal_projector_bias: projector.bias ?? true,
    tie_word_embeddings: language.tieWordEmbeddings,
    text_config: textConfig(language, maxLength),
    vision_config: visionConfig(vision),
    torch_dtype: "float32",
  };
}

type ExportedTower = Extract<VisionConfig, { kind: "clip" | "siglip" }>;

function hubGelu(activation: Gelu): string {
  return Object.entries(hubGelus).find(([, own]) => own === activation)![0];
}

function visionConfig({ kind, config }: ExportedTower): Record<string, unknown> {
  const isSiglip = kind === "siglip";
  if (isSiglip && config.head === "mean") {
    throw new ConfigError('the vision tower has a head of the kind "mean", which no SigLIP of Hugging Face has');
  }
  return {
    model_type: isSiglip ? "siglip_vision_model" : "clip_vision_model",
    hidden_size: config.dim,
    intermediate_size: config.mlpDim,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    layer_norm_eps: config.epsilon ?? (isSiglip ? 1e-6 : 1e-5),
    hidden_act: hubGelu(config.activation ?? "gelu-tanh"),
    image_size: config.imageSize,
    patch_size: config.patchSize,
    ...(isSiglip && { vision_use_head: config.head === "attention-pooling" }),
  };
}

/** The config.json of a language model: what `llamaConfig` reads back. @throws ConfigError */
export function textConfig(language: LlamaConfig, maxLength: number): Record<string, unknown> {
  const { numAttentionHeads: heads, hiddenSize, slidingWindows: windows } = language;
  const scaling = language.ropeScaling && ropeScaling(language.ropeScaling);
  const isDynamic = language.ropeScaling?.kind === "dynamic";
  const window = windows && oneWindow(windows);
  if (window !== undefined && language.attentionBias) {
    throw new ConfigError(
      "the language model has both sliding windows and biases of attention: export it as it was made",
    );
  }
  return {
    model_type: language.attentionBias ? "qwen2" : window === undefined ? "llama" : "mistral",
    vocab_size: language.vocabSize,
    hidden_size: hiddenSize,
    intermediate_size: language.intermediateSize,
    num_hidden_layers: language.numHiddenLayers,
    num_attention_heads: heads,
    num_key_value_heads: language.numKeyValueHeads,
    ...(language.headDim !== undefined && { head_dim: language.headDim }),
    rope_theta: language.ropeTheta,
    ...(scaling && { rope_scaling: scaling }),
    rms_norm_eps: language.rmsNormEps,
    max_position_embeddings: isDynamic
      ? (language.ropeScaling as { originalLength: number }).originalLength
      : (language.maxPositionEmbeddings ?? maxLength),
    tie_word_embeddings: language.tieWordEmbeddings,
    hidden_act: "silu",
    ...(window !== undefined && { sliding_window: window }),
  };
}

function oneWindow(windows: readonly (number | null)[]): number | undefined {
  const [first] = windows;
  if (windows.every((window) => window === first)) return first ?? undefined;
  throw new ConfigError(`the layers have different sliding windows (${windows.join(", ")}): export it as it was made`);
}

function ropeScaling(scaling: RopeScaling): Record<string, unknown> {
  const common = { rope_type: scaling.kind, factor: scaling.factor };
  if (scaling.kind !== "llama3") return common;
  return {
    ...common,
    low_freq_factor: scaling.lowFrequencyFactor,
    high_freq_factor: scaling.highFrequencyFactor,
    original_max_position_embeddings: scaling.originalLength,
  };
}
