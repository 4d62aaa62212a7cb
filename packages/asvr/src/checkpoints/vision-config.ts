import { z } from "zod";
import { ConfigError } from "../errors.js";
import type { VisionConfig } from "../model/llava-parts.js";
import { clipVisionConfig } from "../vision/clip-hub.js";
import { hubGelus } from "../vision/gelu.js";
import { siglipVisionConfig } from "../vision/siglip-hub.js";
import { type ConfigPlace, fieldAt, parseConfig } from "./config-place.js";

const count = z.int().positive();
const gelus = z.enum(Object.keys(hubGelus));

const schema = z.looseObject({
  hidden_size: count.optional(),
  intermediate_size: count.optional(),
  num_hidden_layers: count.optional(),
  num_attention_heads: count.optional(),
  layer_norm_eps: z.number().positive().optional(),
  image_size: count.optional(),
  patch_size: count.optional(),
  num_channels: z.literal(3).optional(),
  hidden_act: gelus.optional(),
  vision_use_head: z.boolean().default(true),
});

/**
 * Reads `vision_config` of a LLaVA's config.json: a CLIP, which is the default, or a SigLIP tower. What it leaves out has
 * the default of its kind in Hugging Face's configuration classes.
 * @throws ConfigError that names file and field, for another tower and for what these can't do here
 */
export function visionConfig(config: Readonly<Record<string, unknown>>, place: ConfigPlace): VisionConfig {
  const { model_type: type = "clip_vision_model" } = config;
  if (type !== "clip_vision_model" && type !== "siglip_vision_model") {
    throw new ConfigError(
      `${fieldAt(place, "model_type")} is ${JSON.stringify(type)}; this build has clip_vision_model and siglip_vision_model`,
    );
  }
  const hub = parseConfig(schema, config, place);
  if (type === "clip_vision_model") return { kind: "clip", config: clipVisionConfig(hub) };
  if (hub.hidden_act === "quick_gelu") {
    throw new ConfigError(`${fieldAt(place, "hidden_act")} is "quick_gelu", which no SigLIP tower has`);
  }
  return { kind: "siglip", config: siglipVisionConfig(hub, hub.vision_use_head ? "attention-pooling" : "none") };
}
