import { z } from "zod";
import { ConfigError } from "../errors.js";
import { hubGelus } from "../layers/gelu.js";
import type { LlavaConfig } from "../model/llava.js";
import type { LlavaNextConfig } from "../model/llava-next.js";
import { type ConfigPlace, count, fieldAt, parseConfig } from "./config-place.js";
import { llamaConfig } from "./llama-config.js";
import { visionConfig } from "./vision-config.js";

/** The tower of LLaVA 1.5, CLIP ViT-L/14 at 336 pixels, where a file has no `vision_config`. */
const clipLarge = {
  ...{ model_type: "clip_vision_model", hidden_size: 1024, intermediate_size: 4096 },
  ...{ num_hidden_layers: 24, num_attention_heads: 16, image_size: 336, patch_size: 14 },
};

/** (height, width) pairs of LLaVA-NeXT with that tower. */
const pinpoints336: [[number, number], ...[number, number][]] = [
  [336, 672],
  [672, 336],
  [672, 672],
  [1008, 336],
  [336, 1008],
];

const part = z.record(z.string(), z.unknown());
const layer = z.int();

const schema = z.looseObject({
  text_config: part.default({}),
  vision_config: part.default(clipLarge),
  image_token_index: z.int().nonnegative().optional(),
  image_token_id: z.int().nonnegative().optional(),
  vision_feature_layer: z.union([layer, z.array(layer).nonempty()]).default(-2),
  vision_feature_select_strategy: z.enum(["default", "full"]).default("default"),
  projector_hidden_act: z.enum(Object.keys(hubGelus)).default("gelu"),
  multimodal_projector_bias: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(false),
});

/**
 * Reads the config.json of Hugging Face's LlavaForConditionalGeneration. What it leaves out has the default of its
 * classes; the language model's is a Llama.
 * @throws ConfigError that names file and field, for another model and for what its parts can't do here
 */
export function llavaConfig(config: Readonly<Record<string, unknown>>, place?: ConfigPlace): LlavaConfig {
  const where = place ?? { file: "config.json" };
  requireType(config, "llava", where);
  return partsConfig(config, where);
}

const nextSchema = z.looseObject({
  image_grid_pinpoints: z
    .array(z.tuple([count, count]))
    .nonempty()
    .default(pinpoints336),
  use_image_newline_parameter: z.literal(true).default(true),
});

/** Reads the config.json of Hugging Face's LlavaNextForConditionalGeneration, as `llavaConfig` does. @throws ConfigError */
export function llavaNextConfig(config: Readonly<Record<string, unknown>>, place?: ConfigPlace): LlavaNextConfig {
  const where = place ?? { file: "config.json" };
  requireType(config, "llava_next", where);
  const parts = partsConfig(config, where);
  const { imageSize } = parts.vision.config;
  const pinpoints = parseConfig(nextSchema, config, where).image_grid_pinpoints.map(([height, width]) => {
    if (height % imageSize === 0 && width % imageSize === 0) return { height, width };
    throw new ConfigError(
      `${fieldAt(where, "image_grid_pinpoints")} has [${height}, ${width}], which is not made of whole tiles of ` +
        `${imageSize} pixels`,
    );
  });
  return { ...parts, pinpoints };
}

function requireType(config: Readonly<Record<string, unknown>>, type: string, place: ConfigPlace): void {
  if (config.model_type === type) return;
  throw new ConfigError(
    `${fieldAt(place, "model_type")} is ${JSON.stringify(config.model_type) ?? "missing"}; expected "${type}"`,
  );
}

function partsConfig(config: Readonly<Record<string, unknown>>, where: ConfigPlace): LlavaConfig {
  const hub = parseConfig(schema, config, where);
  const inside = (key: string) => ({ file: where.file, field: [where.field, key].filter(Boolean).join(".") });
  const language = llamaConfig({ model_type: "llama", ...hub.text_config }, inside("text_config"));
  const vision = visionConfig(hub.vision_config, inside("vision_config"));
  const layers = [hub.vision_feature_layer].flat();
  for (const index of layers) {
    const last = vision.config.layers;
    if (index <= last && index >= -last - 1) continue;
    throw new ConfigError(
      `${fieldAt(where, "vision_feature_layer")} is ${index}, but a tower of ${last} layers has hidden states ` +
        `0 to ${last}, or -${last + 1} to -1`,
    );
  }
  return {
    vision,
    selection: { layers, strategy: hub.vision_feature_select_strategy },
    projector: { activation: hubGelus[hub.projector_hidden_act], bias: hub.multimodal_projector_bias },
    // Older files say it of the language model, newer ones of the whole.
    language: { ...language, tieWordEmbeddings: language.tieWordEmbeddings || hub.tie_word_embeddings },
    imageTokenId: imageTokenId(hub, where),
  };
}

function imageTokenId(hub: z.infer<typeof schema>, place: ConfigPlace): number {
  const { image_token_index: index, image_token_id: id } = hub;
  if (index !== undefined && id !== undefined && index !== id) {
    throw new ConfigError(`${fieldAt(place, "image_token_index")} is ${index}, but image_token_id is ${id}`);
  }
  return index ?? id ?? 32_000;
}
