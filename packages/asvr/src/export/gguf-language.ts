import { F, noGrad, type Tensor, tidy } from "@asvr/torch";
import { ROPE_FACTORS } from "../checkpoints/gguf/llama-metadata.js";
import { ggufName, hasInterleavedRows } from "../checkpoints/gguf/names.js";
import { pairsFromHalves } from "../checkpoints/gguf/rows.js";
import { field, type GgufField, type GgufWeight } from "../checkpoints/gguf/write.js";
import { ConfigError } from "../errors.js";
import type { LlamaConfig, LlamaForCausalLM } from "../language/llama.js";
import { rotaryFrequencies } from "../language/rotary.js";

/** How matrices are stored; vectors are float32 in any case, as llama.cpp wants them. */
export type GgufFloat = "F32" | "F16" | "BF16";

/** llama.cpp's number of a file's commonest type. */
export const fileTypes: Readonly<Record<GgufFloat, number>> = { F32: 0, F16: 1, BF16: 32 };

/** `llama`, or, with biases of attention, `qwen2`. */
function architectureOf({ attentionBias }: LlamaConfig): "llama" | "qwen2" {
  return attentionBias ? "qwen2" : "llama";
}

/**
 * The metadata of a language model but for its tokenizer.
 * @throws ConfigError for what llama.cpp's architectures can't do: sliding windows, dynamic rotary scaling
 */
export function languageFields(
  config: LlamaConfig,
  { name, contextLength, type }: { name: string; contextLength: number; type: GgufFloat },
): Map<string, GgufField> {
  const architecture = architectureOf(config);
  if (config.slidingWindows) {
    throw new ConfigError(`the language model has sliding windows, which llama.cpp's ${architecture} doesn't know`);
  }
  const { ropeScaling: scaling, numAttentionHeads: heads } = config;
  if (scaling?.kind === "dynamic") {
    throw new ConfigError('the language model has rotary scaling of the kind "dynamic", which llama.cpp doesn\'t know');
  }
  const headDim = config.headDim ?? config.hiddenSize / heads;
  const own: Record<string, GgufField> = {
    vocab_size: field.uint32(config.vocabSize),
    context_length: field.uint32(contextLength),
    embedding_length: field.uint32(config.hiddenSize),
    block_count: field.uint32(config.numHiddenLayers),
    feed_forward_length: field.uint32(config.intermediateSize),
    "attention.head_count": field.uint32(heads),
    "attention.head_count_kv": field.uint32(config.numKeyValueHeads),
    "attention.key_length": field.uint32(headDim),
    "attention.value_length": field.uint32(headDim),
    "attention.layer_norm_rms_epsilon": field.float32(config.rmsNormEps),
    "rope.dimension_count": field.uint32(headDim),
    "rope.freq_base": field.float32(config.ropeTheta),
    ...(scaling?.kind === "linear" && {
      "rope.scaling.type": field.string("linear"),
      "rope.scaling.factor": field.float32(scaling.factor),
    }),
  };
  return new Map([
    ["general.architecture", field.string(architecture)],
    ["general.type", field.string("model")],
    ["general.name", field.string(name)],
    ["general.file_type", field.uint32(fileTypes[type])],
    ...Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value] as const),
  ]);
}

/** The weights under llama.cpp's names and in its order of rows. The caller frees them (a `tidy` does). */
export function languageWeights(model: LlamaForCausalLM, type: GgufFloat): Map<string, GgufWeight> {
  const { config } = model;
  const headDim = config.headDim ?? config.hiddenSize / config.numAttentionHeads;
  const isInterleaved = architectureOf(config) === "llama";
  const weights = new Map<string, GgufWeight>();
  for (const [name, weight] of model.stateDict()) {
    const rows = isInterleaved && hasInterleavedRows(name);
    const tensor = rows ? noGrad(() => pairsFromHalves(weight, headDim)) : weight;
    weights.set(ggufName(name), { tensor, type: weight.shape.length === 1 ? "F32" : type });
  }
  if (config.ropeScaling?.kind === "llama3") {
    weights.set(ROPE_FACTORS, { tensor: ropeFactors(config, headDim), type: "F32" });
  }
  return weights;
}

/** What the period of each frequency is multiplied with. (headDim/2) */
function ropeFactors({ ropeTheta, ropeScaling }: LlamaConfig, headDim: number): Tensor {
  return tidy(() => {
    const none = F.zeros([1, 1], "int64");
    return rotaryFrequencies(none, headDim, ropeTheta).div(rotaryFrequencies(none, headDim, ropeTheta, ropeScaling));
  });
}
