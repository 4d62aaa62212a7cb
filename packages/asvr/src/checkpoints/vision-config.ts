import { z } from "zod";
import { ConfigError } from "../errors.js";
import { hubGelus } from "../layers/gelu.js";
import { clipVisionConfig } from "../vision/clip-hub.js";
import { depthAnythingConfig, dinov2Config } from "../vision/dinov2-hub.js";
import { dinov3Config } from "../vision/dinov3-hub.js";
import { siglipFlexConfig, siglipVisionConfig } from "../vision/siglip-hub.js";
import type { VisionConfig } from "../vision/tower.js";
import { type ConfigPlace, count, fieldAt, layerCount, parseConfig } from "./config-place.js";

const positive = z.number().positive();
const gelus = z.enum(Object.keys(hubGelus));
/** Without OpenAI's approximation, which only CLIP has. */
const exactGelus = z.enum(["gelu", "gelu_pytorch_tanh"]);

const sizes = {
  hidden_size: count.optional(),
  num_hidden_layers: layerCount.optional(),
  num_attention_heads: count.optional(),
  layer_norm_eps: positive.optional(),
  image_size: count.optional(),
  patch_size: count.optional(),
  num_channels: z.literal(3).optional(),
};

const clip = z.looseObject({ ...sizes, intermediate_size: count.optional(), hidden_act: gelus.optional() });

const siglip = z.looseObject({
  ...sizes,
  intermediate_size: count.optional(),
  num_patches: count.optional(),
  hidden_act: exactGelus.optional(),
  vision_use_head: z.boolean().default(true),
});

const dinov2 = z.looseObject({
  ...sizes,
  mlp_ratio: positive.optional(),
  hidden_act: exactGelus.optional(),
  qkv_bias: z.boolean().optional(),
  use_swiglu_ffn: z.literal(false).optional(),
});

const dinov3 = z.looseObject({
  ...sizes,
  intermediate_size: count.optional(),
  hidden_act: z.enum(["silu", ...Object.keys(hubGelus)]).optional(),
  use_gated_mlp: z.boolean().optional(),
  num_register_tokens: z.int().nonnegative().optional(),
  rope_theta: positive.optional(),
  query_bias: z.boolean().optional(),
  key_bias: z.boolean().optional(),
  value_bias: z.boolean().optional(),
  proj_bias: z.boolean().optional(),
  mlp_bias: z.boolean().optional(),
});

const depthAnything = z.looseObject({
  backbone_config: dinov2
    .extend({
      model_type: z.literal("dinov2").optional(),
      out_indices: z.array(z.int()).nonempty().optional(),
      out_features: z.array(z.string()).nonempty().optional(),
      apply_layernorm: z.boolean().optional(),
    })
    .optional(),
  reassemble_factors: z.array(positive).nonempty().optional(),
  neck_hidden_sizes: z.array(count).nonempty().optional(),
  fusion_hidden_size: count.optional(),
  head_hidden_size: count.optional(),
  head_in_index: z.int().optional(),
  depth_estimation_type: z.enum(["relative", "metric"]).optional(),
  max_depth: positive.nullish(),
});

export interface VisionConfigOptions {
  /**
   * How the positions of DINOv2 and Depth Anything are resized to another grid: `bicubic`, as a current transformers
   * does and by default, or `bicubic-offset`, as their own code and transformers up to 4.44 do. Several per cent apart.
   */
  readonly positionResizing?: "bicubic" | "bicubic-offset";
}

type Read = (config: unknown, place: ConfigPlace, options: VisionConfigOptions) => VisionConfig;

/** How a configuration is read, by its `model_type`. */
const readers: Readonly<Record<string, Read>> = {
  clip_vision_model: (config, place) => ({ kind: "clip", config: clipVisionConfig(parseConfig(clip, config, place)) }),
  siglip_vision_model: (config, place) => {
    const hub = parseConfig(siglip, config, place);
    return { kind: "siglip", config: siglipVisionConfig(hub, hub.vision_use_head ? "attention-pooling" : "none") };
  },
  siglip2_vision_model: (config, place) => {
    const hub = parseConfig(siglip, config, place);
    const head = hub.vision_use_head ? "attention-pooling" : "none";
    return { kind: "siglip-flex", config: inPlace(place, () => siglipFlexConfig(hub, head)) };
  },
  dinov2: (config, place, { positionResizing }) => ({
    kind: "dinov2",
    config: dinov2Config(parseConfig(dinov2, config, place), positionResizing),
  }),
  dinov3_vit: (config, place) => ({ kind: "dinov3", config: dinov3Config(parseConfig(dinov3, config, place)) }),
  depth_anything: (config, place, { positionResizing }) => {
    const hub = parseConfig(depthAnything, config, place);
    return { kind: "depth-anything", config: inPlace(place, () => depthAnythingConfig(hub, positionResizing)) };
  },
};

/**
 * Reads the configuration of a vision tower: config.json of one, or `vision_config` of a LLaVA's, whose default is CLIP.
 * What it leaves out has the default of its kind in Hugging Face's configuration classes.
 * @throws ConfigError that names file and field, for another tower and for what these can't do here
 */
export function visionConfig(
  config: Readonly<Record<string, unknown>>,
  place: ConfigPlace,
  options: VisionConfigOptions = {},
): VisionConfig {
  const { model_type: type = "clip_vision_model" } = config;
  const read = typeof type === "string" && Object.hasOwn(readers, type) ? readers[type] : undefined;
  if (!read) {
    throw new ConfigError(
      `${fieldAt(place, "model_type")} is ${JSON.stringify(type)}; this build has ${Object.keys(readers).join(", ")}`,
    );
  }
  return read(config, place, options);
}

/** Errors of the body begin with the file. */
function inPlace<T>({ file }: ConfigPlace, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`${file}: ${error.message}`, { cause: error });
  }
}
