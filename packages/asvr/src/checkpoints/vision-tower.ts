import { join } from "node:path";
import { CheckpointError, openWeights, type Tensor, tidy, type Weights } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { buildTower, type VisionConfig } from "../vision/tower.js";
import type { VisionTower } from "../vision/visual-features.js";
import type { ConfigPlace } from "./config-place.js";
import { type LoadOptions, loadModule } from "./load-module.js";
import { type VisionConfigOptions, visionConfig } from "./vision-config.js";
import { readWholeConfig } from "./whole-model.js";

/** Models of a text and a vision tower: the type of the latter. */
const pairs: Readonly<Record<string, string>> = {
  clip: "clip_vision_model",
  siglip: "siglip_vision_model",
  siglip2: "siglip2_vision_model",
};

/** What config.json of a tower's folder says of the tower, and whether a text tower may lie beside it. */
export interface TowerConfig {
  readonly config: Readonly<Record<string, unknown>>;
  readonly place: ConfigPlace;
  readonly isPair: boolean;
}

/** Reads config.json of a tower, or of both towers: there the tower need not say what it is. @throws ConfigError */
export function readTowerConfig(folder: string): TowerConfig {
  const file = join(folder, "config.json");
  const json = readWholeConfig(folder);
  const type = json.model_type;
  if (typeof type !== "string") {
    throw new ConfigError(`${file}: model_type is ${JSON.stringify(type) ?? "missing"}: expected the kind of a tower`);
  }
  const towerType = Object.hasOwn(pairs, type) ? pairs[type] : undefined;
  if (towerType === undefined) return { config: json, place: { file }, isPair: false };
  const inside = json.vision_config;
  if (typeof inside !== "object" || inside === null || Array.isArray(inside)) {
    throw new ConfigError(`${file}: vision_config is ${JSON.stringify(inside) ?? "missing"}: expected an object`);
  }
  return { config: { ...inside, model_type: towerType }, place: { file, field: "vision_config" }, isPair: true };
}

/**
 * Loads the vision tower of a folder of Hugging Face's: `config.json`, and weights as `openWeights` finds them. CLIP and
 * SigLIP (also from a folder of both towers), SigLIP 2 at a fixed resolution and "NaFlex", DINOv2, DINOv3, Depth
 * Anything. The caller frees it.
 * @throws ConfigError that names file and field for what this build can't do
 * @throws CheckpointError that names the file and lists every weight that is missing, misshapen or not used
 */
export function loadVisionTower(folder: string, options: LoadOptions & VisionConfigOptions = {}): VisionTower {
  const { config: json, place, isPair } = readTowerConfig(folder);
  const config = visionConfig(json, place, options);
  return tidy(() => {
    using opened = openWeights(folder);
    const weights = towerWeights(opened, config.kind, isPair);
    return loadModule(() => buildTower(config), { weights, source: opened.source, options });
  });
}

/**
 * A tower's weights of a file by the names of the tower, whatever layout the file has.
 * @param isPair whether the file may hold a text tower and what joins the two, which are passed over
 * @throws CheckpointError when two of them have one name
 */
export function towerWeights(opened: Weights, kind: VisionConfig["kind"], isPair: boolean): Map<string, Tensor> {
  const weights = new Map<string, Tensor>();
  for (const [name, own] of towerNames([...opened.entries.keys()], kind, isPair)) {
    if (weights.has(own)) throw new CheckpointError(`${opened.source}: two weights are named ${own}`);
    weights.set(own, opened.tensor(name));
  }
  return weights;
}

/** What no tower of ours has: constants of older files, and a token that only training uses. */
const unused = /(?:^|\.)embeddings\.(?:position_ids|mask_token)$/;

/** The names of a tower's weights in a file, and in the tower. */
function towerNames(names: readonly string[], kind: VisionConfig["kind"], isPair: boolean): Map<string, string> {
  const beginning = prefixOf(kind);
  const isWithin = beginning !== null && names.some((name) => beginning.test(name));
  const found = new Map<string, string>();
  for (const name of names) {
    if (unused.test(name)) continue;
    const isOurs = !isWithin || beginning.test(name);
    if (isOurs) found.set(name, isWithin ? name.replace(beginning, "") : name);
    else if (!isPair) found.set(name, name); // has no place, which `load` says
  }
  return found;
}

/** What the names of a kind begin with in some files and not in others. */
function prefixOf(kind: VisionConfig["kind"]): RegExp | null {
  switch (kind) {
    case "clip":
    case "siglip":
    case "siglip-flex":
      return /^vision_model\./;
    case "dinov2":
      return /^dinov2\./;
    case "dinov3":
      return /^model\.(?=layer\.)/; // how transformers 5 has them in memory
    case "depth-anything":
      return null;
  }
}
