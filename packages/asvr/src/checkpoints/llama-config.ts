import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { ConfigError } from "../errors.js";
import type { LlamaConfig } from "../language/llama.js";
import type { RopeScaling } from "../language/rotary.js";
import { type ConfigPlace, count, fieldAt, layerCount, parseConfig } from "./config-place.js";

const positive = z.number().positive();

/** `rope_scaling`, and the `rope_parameters` that replaced it; `type` is the older spelling of `rope_type`. */
const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: positive.optional(),
  factor: positive.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  original_max_position_embeddings: count.nullish(),
  partial_rotary_factor: z.literal(1).optional(),
});

const schema = z.looseObject({
  model_type: z.enum(["llama", "mistral", "qwen2"]),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: layerCount,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  max_position_embeddings: count,
  rms_norm_eps: positive,
  rope_theta: positive.optional(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  partial_rotary_factor: z.literal(1).optional(),
  hidden_act: z.literal("silu").default("silu"),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.literal(false).default(false),
  mlp_bias: z.literal(false).default(false),
  sliding_window: count.nullish(),
  use_sliding_window: z.boolean().default(false),
  max_window_layers: z.int().nonnegative().default(28),
  layer_types: z.array(z.enum(["full_attention", "sliding_attention"])).nullish(),
});

type HubConfig = z.infer<typeof schema>;

/** What a config.json leaves out, by model type: the defaults of Hugging Face's configuration classes. */
const defaults: Readonly<Record<string, Partial<HubConfig>>> = {
  llama: {
    ...{ vocab_size: 32_000, hidden_size: 4096, intermediate_size: 11_008, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, max_position_embeddings: 2048, rms_norm_eps: 1e-6 },
  },
  mistral: {
    ...{ vocab_size: 32_000, hidden_size: 4096, intermediate_size: 14_336, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 8, max_position_embeddings: 131_072, rms_norm_eps: 1e-6 },
    sliding_window: 4096,
  },
  qwen2: {
    ...{ vocab_size: 151_936, hidden_size: 4096, intermediate_size: 22_016, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 32, max_position_embeddings: 32_768, rms_norm_eps: 1e-6 },
    sliding_window: 4096,
  },
};

/**
 * Reads Hugging Face's config.json of a Llama (Vicuna), Mistral, Qwen2 or Qwen2.5. What it leaves out has the default of
 * its model type there.
 * @param place what messages call the configuration
 * @throws ConfigError that names file and field, for another model type and for what this family can't do here: other
 * activations, biases and rotary scalings, rotation of a part of each head
 */
export function llamaConfig(config: Readonly<Record<string, unknown>>, place?: ConfigPlace): LlamaConfig {
  const where = place ?? { file: "config.json" };
  const type = config.model_type;
  const known = Object.entries(defaults).find(([name]) => name === type);
  if (!known) {
    throw new ConfigError(
      `${fieldAt(where, "model_type")} is ${JSON.stringify(type) ?? "missing"}; this build reads ${Object.keys(defaults).join(", ")}`,
    );
  }
  const hub = parseConfig(schema, { ...known[1], ...config }, where);
  const heads = hub.num_attention_heads;
  const rope = ropeOf(hub, where);
  const windows = slidingWindows(hub, where);
  return {
    vocabSize: hub.vocab_size,
    hiddenSize: hub.hidden_size,
    intermediateSize: hub.intermediate_size,
    numHiddenLayers: hub.num_hidden_layers,
    numAttentionHeads: heads,
    numKeyValueHeads: hub.num_key_value_heads ?? heads,
    ropeTheta: rope.theta,
    rmsNormEps: hub.rms_norm_eps,
    tieWordEmbeddings: hub.tie_word_embeddings,
    attentionBias: hub.model_type === "qwen2",
    maxPositionEmbeddings: hub.max_position_embeddings,
    ...(hub.head_dim && { headDim: hub.head_dim }),
    ...(rope.scaling && { ropeScaling: rope.scaling }),
    ...(windows.some((window) => window !== null) && { slidingWindows: windows }),
  };
}

const ropeKinds: ReadonlySet<string> = new Set(["default", "linear", "dynamic", "llama3"]);

interface Rope {
  readonly theta: number;
  readonly scaling?: RopeScaling;
}

/** A file may say it in both forms, for transformers 4 and 5, where they agree. */
function ropeOf(hub: HubConfig, place: ConfigPlace): Rope {
  const older = ropeIn(hub, "rope_scaling", place);
  if (!hub.rope_parameters) return older;
  const newer = ropeIn(hub, "rope_parameters", place);
  const saysTheta = (hub.rope_scaling?.rope_theta ?? hub.rope_theta) !== undefined;
  if (
    (saysTheta && older.theta !== newer.theta) ||
    (hub.rope_scaling && !isDeepStrictEqual(older.scaling, newer.scaling))
  ) {
    throw new ConfigError(
      `${fieldAt(place, "rope_parameters")} (${JSON.stringify(newer)}) differs from rope_scaling and rope_theta ` +
        `(${JSON.stringify(older)}): leave one of the two`,
    );
  }
  return newer;
}

function ropeIn(hub: HubConfig, key: "rope_parameters" | "rope_scaling", place: ConfigPlace): Rope {
  const rope = hub[key];
  const theta = rope?.rope_theta ?? hub.rope_theta ?? 10_000;
  const kind = rope?.rope_type ?? rope?.type ?? "default";
  if (!rope || kind === "default") return { theta };
  if (!ropeKinds.has(kind)) {
    const models = kind === "mrope" ? ", which is that of Qwen2-VL's positions in pictures" : "";
    throw new ConfigError(
      `${fieldAt(place, key)} is of the type "${kind}"${models}; this build has ${[...ropeKinds].join(", ")}`,
    );
  }
  const need = (name: "factor" | "low_freq_factor" | "high_freq_factor" | "original_max_position_embeddings") => {
    const value = rope[name];
    if (value) return value;
    throw new ConfigError(`${fieldAt(place, key)} is of the type "${kind}" and lacks ${name}`);
  };
  const factor = need("factor");
  switch (kind) {
    case "linear":
      return { theta, scaling: { kind, factor } };
    case "dynamic":
      return { theta, scaling: { kind, factor, originalLength: hub.max_position_embeddings } };
    case "llama3": {
      const [lowFrequencyFactor, highFrequencyFactor] = [need("low_freq_factor"), need("high_freq_factor")];
      if (lowFrequencyFactor >= highFrequencyFactor) {
        throw new ConfigError(
          `${fieldAt(place, key)}: low_freq_factor ${lowFrequencyFactor} must be less than high_freq_factor ${highFrequencyFactor}`,
        );
      }
      const originalLength = need("original_max_position_embeddings");
      return { theta, scaling: { kind, factor, lowFrequencyFactor, highFrequencyFactor, originalLength } };
    }
    default:
      throw new Error(`a rope of the kind ${kind}`);
  }
}

/** The window of every layer. Mistral has one in all of them, Qwen2 in those from `max_window_layers` on, if at all. */
function slidingWindows(hub: HubConfig, place: ConfigPlace): (number | null)[] {
  const { model_type: type, num_hidden_layers: layers, layer_types: kinds } = hub;
  const has = type === "mistral" || (type === "qwen2" && hub.use_sliding_window);
  const window = has ? (hub.sliding_window ?? null) : null;
  const first = type === "qwen2" ? hub.max_window_layers : 0;
  if (!kinds) return Array.from({ length: layers }, (_, layer) => (layer >= first ? window : null));
  if (kinds.length !== layers) {
    throw new ConfigError(`${fieldAt(place, "layer_types")} has ${kinds.length} entries for ${layers} layers`);
  }
  return kinds.map((kind) => {
    if (kind === "full_attention") return null;
    if (window !== null) return window;
    throw new ConfigError(
      `${fieldAt(place, "layer_types")} names layers of sliding attention, but ${type} has no window here: ` +
        `sliding_window is ${hub.sliding_window ?? null}${type === "qwen2" ? `, use_sliding_window ${hub.use_sliding_window}` : ""}`,
    );
  });
}
