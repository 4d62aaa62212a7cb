import { type Preprocessing, siglipPreprocessing } from "../data/preprocess.js";
import type { TowerDescription } from "./original-llava-config.js";
import { readPreprocessing } from "./preprocessor-config.js";
import { visionConfig } from "./vision-config.js";
import { readTowerConfig } from "./vision-tower.js";

/** CLIP's own numbers. */
const clipPreprocessing: Omit<Preprocessing, "size"> = {
  mode: "crop",
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};

const clipLarge = (imageSize: number) => ({
  ...{ model_type: "clip_vision_model", hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 24 },
  ...{ num_attention_heads: 16, image_size: imageSize, patch_size: 14 },
});
const siglipShape = (imageSize: number) => ({
  ...{ model_type: "siglip_vision_model", hidden_size: 1152, intermediate_size: 4304, num_hidden_layers: 27 },
  ...{ num_attention_heads: 16, image_size: imageSize, patch_size: 14, vision_use_head: false },
});

/** Shapes of the towers that published LLaVAs name, so that a folder that stores its tower's weights needs no other. */
const towers: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "openai/clip-vit-large-patch14": clipLarge(224),
  "openai/clip-vit-large-patch14-336": clipLarge(336),
  "google/siglip-so400m-patch14-224": siglipShape(224),
  "google/siglip-so400m-patch14-384": siglipShape(384),
  "google/siglip2-so400m-patch14-384": siglipShape(384),
};

/** What is known of a tower by its name alone; undefined for another. */
export function knownTower(name: string): TowerDescription | undefined {
  const config = towers[name];
  if (!config) return undefined;
  const vision = visionConfig(config, { file: name });
  const size = vision.config.imageSize;
  const preprocessing = vision.kind === "clip" ? { ...clipPreprocessing, size } : { ...siglipPreprocessing, size };
  return { vision, preprocessing };
}

/** What to do where a tower is only named; a folder of another machine may have a known tower's name. */
export function nameTower(name: string): string {
  const last = name.split(/[\\/]/).at(-1);
  const known = Object.keys(towers).find((id) => id !== name && id.split("/")[1] === last);
  return `Name the tower's folder as vision tower (--vision-tower FOLDER)${known ? `, or write "${known}" there, as it is called on the hub` : ""}.`;
}

/** A tower as its own folder describes it. @throws ConfigError */
export function towerIn(folder: string): TowerDescription {
  const { config, place } = readTowerConfig(folder);
  const vision = visionConfig({ ...config, vision_use_head: false }, place);
  return { vision, preprocessing: readPreprocessing(folder, vision.config.imageSize) };
}
