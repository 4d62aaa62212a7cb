import { z } from "zod";
import type { Preprocessing } from "../data/preprocess.js";
import { ConfigError } from "../errors.js";
import type { LlavaConfig } from "../model/llava.js";
import type { LlavaNextConfig } from "../model/llava-next.js";
import type { VisionConfig } from "../vision/tower.js";
import { type ConfigPlace, count, fieldAt, parseConfig } from "./config-place.js";
import { llamaConfig } from "./llama-config.js";

/** What LLaVA's own code, and ASVR's, add to the config.json of a language model. */
const schema = z.looseObject({
  model_type: z.string(),
  architectures: z.array(z.string()).default([]),
  mm_vision_tower: z.string(),
  mm_vision_select_layer: z.int().default(-2),
  mm_vision_select_feature: z.enum(["patch", "cls_patch"]).default("patch"),
  mm_projector_type: z.literal("mlp2x_gelu"),
  mm_use_im_start_end: z.literal(false).default(false),
  mm_use_im_patch_token: z.literal(false).default(false),
  mm_patch_merge_type: z.enum(["flat", "spatial_unpad"]).default("flat"),
  image_aspect_ratio: z.enum(["square", "pad", "anyres"]).nullish(),
  image_grid_pinpoints: z
    .array(z.tuple([count, count]))
    .nonempty()
    .nullish(),
});

/** Stands in a prompt's ids for each feature of a picture: these folders' vocabularies have no token for it. */
const ORIGINAL_IMAGE_TOKEN = -200;

export interface OriginalLlavaConfig {
  readonly model: LlavaConfig | LlavaNextConfig;
  readonly languageKind: LanguageKind;
  /** How a picture, or a tile of it, becomes the tower's square. */
  readonly preprocessing: Preprocessing;
}

/** The family of the language model: it decides the conversation template. */
export type LanguageKind = "llama" | "mistral" | "qwen2";

/** Whether a config.json is of LLaVA's or ASVR's own code: Hugging Face's never names its tower. */
export function isOriginalLlava(config: Readonly<Record<string, unknown>>): boolean {
  return typeof config.mm_vision_tower === "string";
}

/** The vision tower that a config.json of the original code names: a hub id, or a folder. @throws ConfigError */
export function namedTower(config: Readonly<Record<string, unknown>>, place: ConfigPlace): string {
  return parseConfig(schema, config, place).mm_vision_tower;
}

/** A vision tower and the preprocessing that its own folder asks for. */
export interface TowerDescription {
  readonly vision: VisionConfig;
  /** For pictures whose aspect is not kept. */
  readonly preprocessing: Preprocessing;
}

/**
 * Reads the config.json of a folder that LLaVA's own code wrote (`llava_llama`, `llava_mistral`, `llava_qwen`) or ASVR's:
 * the language model's configuration with the vision part beside it, of which the tower is only named.
 * @param tower the one that it names; of its layers those that the folder stores, if it stores them
 * @param place what messages call the configuration
 * @throws ConfigError that names file and field, for what this build can't do
 */
export function originalLlavaConfig(
  config: Readonly<Record<string, unknown>>,
  { vision, preprocessing }: TowerDescription,
  storedLayers: number | null,
  place: ConfigPlace = { file: "config.json" },
): OriginalLlavaConfig {
  const hub = parseConfig(schema, config, place);
  const languageKind = languageKindOf(hub, place);
  const { layers } = vision.config;
  const select = hub.mm_vision_select_layer;
  const layer = select < 0 ? layers + 1 + select : select;
  if (layer < 0 || layer > (storedLayers ?? layers)) {
    throw new ConfigError(
      `${fieldAt(place, "mm_vision_select_layer")} is ${select}, but the tower has ${layers} layers, ` +
        `${storedLayers ?? layers} of them stored`,
    );
  }
  const stored = storedLayers === null ? vision : withLayers(vision, storedLayers);
  const dropsClass = vision.kind === "clip" && hub.mm_vision_select_feature === "patch";
  const model: LlavaConfig = {
    vision: stored,
    selection: { layers: [layer], strategy: dropsClass ? "default" : "full" },
    projector: { activation: "gelu", bias: true },
    language: llamaConfig({ ...config, model_type: languageKind }, place),
    imageTokenId: ORIGINAL_IMAGE_TOKEN,
  };
  if (hub.image_aspect_ratio === "anyres") return { model: withTiles(model, hub, place), languageKind, preprocessing };
  const keepsAspect = hub.image_aspect_ratio === "pad";
  return { model, languageKind, preprocessing: keepsAspect ? { ...preprocessing, mode: "pad" } : preprocessing };
}

function withTiles(model: LlavaConfig, hub: z.infer<typeof schema>, place: ConfigPlace): LlavaNextConfig {
  if (hub.mm_patch_merge_type !== "spatial_unpad") {
    throw new ConfigError(
      `${fieldAt(place, "mm_patch_merge_type")} is "${hub.mm_patch_merge_type}" with image_aspect_ratio "anyres"; ` +
        'this build has "spatial_unpad"',
    );
  }
  if (!hub.image_grid_pinpoints) {
    throw new ConfigError(`${fieldAt(place, "image_grid_pinpoints")} is missing with image_aspect_ratio "anyres"`);
  }
  const { imageSize } = model.vision.config;
  const pinpoints = hub.image_grid_pinpoints.map(([width, height]) => {
    if (height % imageSize === 0 && width % imageSize === 0) return { height, width };
    throw new ConfigError(
      `${fieldAt(place, "image_grid_pinpoints")} has [${width}, ${height}], not made of whole tiles of ${imageSize} pixels`,
    );
  });
  return { ...model, pinpoints };
}

function withLayers(vision: VisionConfig, layers: number): VisionConfig {
  return { ...vision, config: { ...vision.config, layers } } as VisionConfig;
}

/** By `model_type`, or, where that is just "llava" or another name, by the class. */
function languageKindOf({ model_type: type, architectures }: z.infer<typeof schema>, place: ConfigPlace): LanguageKind {
  const name = [type, ...architectures].join(" ").toLowerCase();
  if (/mistral/.test(name)) return "mistral";
  if (/qwen/.test(name)) return "qwen2";
  if (/llama|vicuna|^llava\b/.test(name)) return "llama";
  throw new ConfigError(
    `${fieldAt(place, "model_type")} is ${JSON.stringify(type)}; this build reads LLaVA's and ASVR's folders over Llama, Mistral and Qwen2`,
  );
}
