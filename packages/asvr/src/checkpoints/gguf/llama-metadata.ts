import { F, tidy } from "@asvr/torch";
import { z } from "zod";
import { ConfigError } from "../../errors.js";
import type { LlamaConfig } from "../../language/llama.js";
import { type RopeScaling, rotaryFrequencies } from "../../language/rotary.js";
import { count, parseConfig } from "../config-place.js";
import type { GgufFile } from "./file.js";

const positive = z.number().positive();

/** What llama.cpp writes of such a model, without the architecture that every key begins with. */
const schema = z.looseObject({
  block_count: count,
  context_length: count.optional(),
  embedding_length: count,
  feed_forward_length: count,
  "attention.head_count": count,
  "attention.head_count_kv": count.optional(),
  "attention.key_length": count.optional(),
  "attention.value_length": count.optional(),
  "attention.layer_norm_rms_epsilon": positive,
  "attention.sliding_window": count.optional(),
  "rope.dimension_count": count.optional(),
  "rope.freq_base": positive.default(10_000),
  "rope.scaling.type": z.enum(["none", "linear"]).default("none"),
  "rope.scaling.factor": positive.optional(),
  "rope.scale_linear": positive.optional(),
  expert_count: z.literal(0).optional(),
});

type Metadata = z.infer<typeof schema>;

/** Architectures of llama.cpp that are this family. Mistral and SmolLM2 are `llama` there. */
export const architectures = ["llama", "qwen2"] as const;

/** Factors of each frequency's period, in files of Llama 3.1 and later. */
export const ROPE_FACTORS = "rope_freqs.weight";

/**
 * The configuration of the language model of a GGUF file, from its metadata and, where that is silent, its tensors.
 * @throws ConfigError that names file and key, for another architecture and for what this family can't do here
 */
export function ggufLlamaConfig(file: GgufFile): LlamaConfig {
  const architecture = file.metadata.get("general.architecture");
  if (!architectures.some((known) => known === architecture)) {
    throw new ConfigError(
      `${file.path}: general.architecture is ${JSON.stringify(architecture) ?? "missing"}; this build reads ${architectures.join(", ")}`,
    );
  }
  const prefix = `${architecture}.`;
  const own = [...file.metadata].filter(([key]) => key.startsWith(prefix));
  const place = { file: file.path, field: String(architecture) };
  const found = parseConfig(
    schema,
    Object.fromEntries(own.map(([key, value]) => [key.slice(prefix.length), value])),
    place,
  );
  const heads = found["attention.head_count"];
  const headDim = headDimOf(found, file.path);
  const embedding = file.entries.get("token_embd.weight");
  if (!embedding)
    throw new ConfigError(`${file.path}: there is no token_embd.weight, the embeddings of a language model`);
  if (found.block_count > file.entries.size) {
    throw new ConfigError(
      `${file.path}: ${prefix}block_count is ${found.block_count}, but there are ${file.entries.size} tensors`,
    );
  }
  const config: LlamaConfig = {
    vocabSize: embedding.shape[0]!,
    hiddenSize: found.embedding_length,
    intermediateSize: found.feed_forward_length,
    numHiddenLayers: found.block_count,
    numAttentionHeads: heads,
    numKeyValueHeads: found["attention.head_count_kv"] ?? heads,
    ropeTheta: found["rope.freq_base"],
    rmsNormEps: found["attention.layer_norm_rms_epsilon"],
    tieWordEmbeddings: !file.entries.has("output.weight"),
    attentionBias: file.entries.has("blk.0.attn_q.bias"),
    headDim,
    ...(found.context_length && { maxPositionEmbeddings: found.context_length }),
  };
  const scaling = scalingOf(found, config, file);
  const window = found["attention.sliding_window"];
  return {
    ...config,
    ...(scaling && { ropeScaling: scaling }),
    ...(window && { slidingWindows: Array<number>(found.block_count).fill(window) }),
  };
}

function headDimOf(found: Metadata, path: string): number {
  const { embedding_length: width, "attention.head_count": heads } = found;
  const dim = found["attention.key_length"] ?? width / heads;
  for (const key of ["attention.value_length", "rope.dimension_count"] as const) {
    const other = found[key] ?? dim;
    if (other === dim) continue;
    throw new ConfigError(
      `${path}: ${key} is ${other}, but a head is ${dim} wide; this build has models where both agree`,
    );
  }
  return dim;
}

function scalingOf(found: Metadata, config: LlamaConfig, file: GgufFile): RopeScaling | undefined {
  if (file.entries.has(ROPE_FACTORS)) return llama3Scaling(config, file);
  const factor = found["rope.scaling.factor"] ?? found["rope.scale_linear"];
  const isLinear = found["rope.scaling.type"] === "linear" || found["rope.scale_linear"] !== undefined;
  return isLinear && factor !== undefined && factor !== 1 ? { kind: "linear", factor } : undefined;
}

/**
 * The scaling that gives these factors, if it is the one of Llama 3.1 to 3.3: the file has the factors alone.
 * @throws ConfigError for other factors
 */
function llama3Scaling(config: LlamaConfig, file: GgufFile): RopeScaling {
  return tidy(() => {
    const factors = file.tensor(ROPE_FACTORS);
    const scaling: RopeScaling = {
      ...{ kind: "llama3", lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192 },
      factor: factors.amax().item(),
    };
    const none = F.zeros([1, 1], "int64");
    const plain = rotaryFrequencies(none, config.headDim!, config.ropeTheta);
    const wanted = plain.div(rotaryFrequencies(none, config.headDim!, config.ropeTheta, scaling));
    const isSame =
      factors.shape.join() === wanted.shape.join() && factors.sub(wanted).div(wanted).abs().amax().item() < 1e-4;
    if (isSame) return scaling;
    throw new ConfigError(
      `${file.path}: ${ROPE_FACTORS} has other factors than those of Llama 3.1 (1, 4, 8192); this build has no others`,
    );
  });
}
