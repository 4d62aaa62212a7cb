import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { CheckpointError, openWeights, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { Llava } from "../model/llava.js";
import { LlavaNext } from "../model/llava-next.js";
import type { VisionConfig } from "../vision/tower.js";
import { readConfig } from "./config-place.js";
import { knownTower, nameTower, towerIn } from "./known-towers.js";
import { withoutTiedOutput } from "./llava.js";
import { type LoadOptions, loadModule } from "./load-module.js";
import {
  namedTower,
  type OriginalLlavaConfig,
  originalLlavaConfig,
  type TowerDescription,
} from "./original-llava-config.js";
import { towerWeights } from "./vision-tower.js";
import { requireNoAdapter, requirePlainWeights } from "./whole-model.js";

export interface OriginalOptions extends LoadOptions {
  /** Folder of the vision tower, where neither the checkpoint nor `mm_vision_tower` leads to one. */
  readonly visionTower?: string;
  /** Folder of the language model, for a folder of the first stage, which holds a projector alone. */
  readonly base?: string;
}

/** A LLaVA from a folder of the original code, and what else its configuration says. The caller frees the model. */
export interface OriginalLlava extends Omit<OriginalLlavaConfig, "model"> {
  readonly llava: Llava | LlavaNext;
}

const PROJECTOR = "multi_modal_projector.";
const TOWER = "vision_tower.";

/**
 * Loads a folder that LLaVA's own code wrote (config.json with `mm_vision_tower`; safetensors or torch.save shards), or
 * ASVR's. Of the latter the visual head and the tokenizer are passed over: an answer needs neither. A folder of the first
 * stage, with `mm_projector.bin` and no language model, is laid over `base`.
 * @throws ConfigError that names file and field for what this build can't do, or what is to be named
 * @throws CheckpointError that lists every weight that is missing, misshapen or not used
 */
export function loadOriginalLlava(folder: string, options: OriginalOptions = {}): OriginalLlava {
  const file = join(folder, "config.json");
  const config = readConfig(file);
  requireNoAdapter(folder);
  requirePlainWeights(config, { file });
  return tidy(() => {
    const weights = new Map<string, Tensor>();
    for (const source of weightSources(folder, options)) readInto(weights, source);
    const name = namedTower(config, { file });
    const towerFolder = towerFolderOf(folder, name, options.visionTower);
    const tower = describeTower(file, towerFolder, name);
    const isTowerStored = [...weights.keys()].some((weight) => weight.startsWith(TOWER));
    if (!isTowerStored) readTower(weights, { folder: towerFolder, name, kind: tower.vision.kind });
    const described = originalLlavaConfig(config, tower, isTowerStored ? storedLayers(weights) : null, { file });
    const { model, ...rest } = described;
    const build = (): Llava | LlavaNext => ("pinpoints" in model ? new LlavaNext(model) : new Llava(model));
    const untied = withoutTiedOutput(weights, { isTied: model.language.tieWordEmbeddings, folder });
    return { llava: loadModule(build, { weights: untied, source: folder, options }), ...rest };
  });
}

/** The checkpoint's own weights; for one of the first stage its base's too, before them. */
function weightSources(folder: string, { base }: OriginalOptions): string[] {
  const inFolder = (names: readonly string[]) => names.find((name) => existsSync(join(folder, name)));
  const projector = inFolder(projectorFiles);
  if (projector === undefined || inFolder(wholeFiles) !== undefined) return [folder];
  if (base === undefined) {
    throw new ConfigError(
      `${folder} holds a projector (${projector}) and no language model: name the folder of the one that it was trained with as base`,
    );
  }
  return [base, join(folder, projector)];
}

/** What the first stage leaves; the second name is that of a converted one. */
const projectorFiles = ["mm_projector.bin", "mm_projector.safetensors"];
const wholeFiles = [
  ...["model.safetensors", "model.safetensors.index.json"],
  ...["pytorch_model.bin", "pytorch_model.bin.index.json"],
];

/** Adds a source's weights under the names of `Llava`; a later source replaces what an earlier one had. */
function readInto(weights: Map<string, Tensor>, source: string): void {
  using opened = openWeights(source);
  for (const [name, tensor] of opened.tensors()) {
    const own = originalName(name);
    if (own !== null) weights.set(own, tensor);
  }
}

/** The name in `Llava` of a weight of the original code; null for what no answer needs. */
export function originalName(name: string): string | null {
  if (
    /^(?:projector|rqtransformer_semantic)\.|^model\.vision_tokenizer\.|\.rotary_emb\.inv_freq$|\.position_ids$/.test(
      name,
    )
  ) {
    return null;
  }
  const tower = /^(?:model\.)?vision_tower\.(?:vision_tower\.)?(?:vision_model\.)?(.+)$/.exec(name);
  if (tower) return tower[1]!.startsWith("head.") ? null : `${TOWER}${tower[1]}`;
  const projector = /^(?:model\.)?mm_projector\.(.+)$/.exec(name);
  if (projector) return `${PROJECTOR}${projector[1]}`;
  if (name === "model.image_newline" || name === "image_newline") return "image_newline";
  return `language_model.${name}`;
}

/**
 * The hub id of the tower that a folder names and doesn't hold, where no folder of that name is here either: what is to
 * be fetched before `loadOriginalLlava`.
 */
export function towerToFetch(folder: string, options: OriginalOptions = {}): string | undefined {
  const file = join(folder, "config.json");
  const name = namedTower(readConfig(file), { file });
  if (towerFolderOf(folder, name, options.visionTower) !== undefined) return undefined;
  const isStored = weightSources(folder, options).some((source) => {
    using opened = openWeights(source);
    return [...opened.entries.keys()].some((weight) => originalName(weight)?.startsWith(TOWER));
  });
  return isStored && knownTower(name) ? undefined : name;
}

/** A tower's own folder: as the caller says, or as the configuration does where that is a folder. */
function towerFolderOf(folder: string, name: string, given: string | undefined): string | undefined {
  if (given !== undefined) return given;
  const candidates = isAbsolute(name) ? [name] : [join(folder, name), name];
  return candidates.find((candidate) => existsSync(join(candidate, "config.json")));
}

function describeTower(file: string, towerFolder: string | undefined, name: string): TowerDescription {
  const found = towerFolder === undefined ? knownTower(name) : towerIn(towerFolder);
  if (found) return found;
  throw new ConfigError(
    `${file}: mm_vision_tower is "${name}", neither a folder here nor a tower that this build knows. ${nameTower(name)}`,
  );
}

/** The tower's weights from its own folder, which may hold a text tower beside it. */
function readTower(
  weights: Map<string, Tensor>,
  { folder, name, kind }: { folder: string | undefined; name: string; kind: VisionConfig["kind"] },
): void {
  if (folder === undefined) {
    throw new ConfigError(`the checkpoint does not hold its vision tower "${name}". ${nameTower(name)}`);
  }
  using opened = openWeights(folder);
  for (const [own, tensor] of towerWeights(opened, kind, true)) {
    if (!own.startsWith("head.")) weights.set(`${TOWER}${own}`, tensor);
  }
}

function storedLayers(weights: ReadonlyMap<string, Tensor>): number {
  const layers = [...weights.keys()].map((name) =>
    Number(/^vision_tower\.encoder\.layers\.(\d+)\./.exec(name)?.[1] ?? -1),
  );
  const count = Math.max(...layers) + 1;
  if (count === 0)
    throw new CheckpointError("the checkpoint's vision tower has no layers (vision_tower.…encoder.layers.0)");
  return count;
}
