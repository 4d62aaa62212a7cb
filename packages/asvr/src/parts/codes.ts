import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { F, noGrad, readSafetensors, type Tensor, tidy, writeSafetensors } from "@asvr/torch";
import { inBatches, loadPictures } from "../data/picture-set.js";
import type { Preprocessing } from "../data/preprocess.js";
import { loadRecords } from "../data/records.js";
import { DataError } from "../errors.js";
import { VisualCache } from "../model/visual-cache.js";
import { Random } from "../random.js";
import { baselines } from "../recipes/baselines.js";
import type { Recipe } from "../recipes/recipe.js";
import { hashOfFile } from "../training/manifest.js";
import { indices } from "../training/objectives/pictures.js";
import { type CodesSettings, partsOf } from "./identity.js";
import { files, layout, microPreprocessing, partFolder, type Split, splits } from "./layout.js";
import { type FrozenFolders, type FrozenParts, loadFrozenParts } from "./load.js";
import type { PartContext } from "./part.js";

const recordsOf: Record<Split, string> = {
  train: "captions.json",
  "test-seen": "test-seen.json",
  "test-novel": "test-novel.json",
};

/**
 * Features and codes of every picture, once: no training step runs the encoder or a tokenizer again. A file says which
 * encoder, tokenizers and preprocessing it was made with, and is refused where they are others.
 */
export async function makeCodes(
  context: PartContext,
  settings: CodesSettings,
  { out, ...frozen }: FrozenFolders & { out: string },
): Promise<string> {
  const { folder, onProgress, signal } = context;
  const parts = loadFrozenParts(frozen, settings);
  await mkdir(out, { recursive: true });
  const origin = await originOf(frozen, settings, microPreprocessing);
  let total = 0;
  for (const [index, split] of splits.entries()) {
    onProgress({ phase: `features and codes: ${split}`, done: index, total: splits.length });
    await new Promise(setImmediate); // lets a request to stop in
    signal.throwIfAborted();
    const keys = await picturesOf(folder, split);
    const pixelValues = await loadPictures(layout.data(folder), keys, microPreprocessing);
    tidy(() => {
      const made = inBatches(pixelValues, 250, (batch) => encodeOnce(parts, settings, batch));
      writeEncoded(join(out, files.codes(split)), joined(made), { keys, origin });
    });
    pixelValues.dispose();
    total += keys.length;
  }
  for (const part of Object.values(parts)) part.dispose();
  return `${total} pictures`;
}

/** What is kept of pictures, a row each. */
export interface EncodedPictures {
  /** (pictures, positions, dim): the encoder's hidden state that the language model reads */
  features: Tensor;
  /** int16 (pictures, positions, D) */
  semantic: Tensor;
  appearance: Tensor;
}
const kinds = ["features", "semantic", "appearance"] as const;

/** Several sets one after the other. */
export function joined(sets: readonly EncodedPictures[]): EncodedPictures {
  const [features, semantic, appearance] = kinds.map((kind) => F.cat(sets.map((set) => set[kind])));
  return { features: features!, semantic: semantic!, appearance: appearance! };
}

/** @param origin what made them: `originOf` */
export function writeEncoded(
  file: string,
  pictures: EncodedPictures,
  { keys, origin }: { keys: readonly string[]; origin: string },
): void {
  const tensors = new Map(kinds.map((kind) => [kind, pictures[kind]]));
  writeSafetensors(file, tensors, { keys: JSON.stringify(keys), origin });
}

/** The pictures of a file and their keys; undefined where they were made by other parts. The caller frees the tensors. */
export function readEncoded(file: string, origin: string): (EncodedPictures & { keys: string[] }) | undefined {
  const { tensors, metadata } = readSafetensors(file);
  if (metadata.origin !== origin) {
    for (const tensor of tensors.values()) tensor.dispose();
    return undefined;
  }
  const [features, semantic, appearance] = kinds.map((kind) => tensors.get(kind)!);
  const keys = JSON.parse(metadata.keys!) as string[];
  return { keys, features: features!, semantic: semantic!, appearance: appearance! };
}

/** One pass of the encoder gives the features and what both tokenizers quantize. */
export function encodeOnce(
  { encoder, semantic, appearance }: FrozenParts,
  settings: Pick<Recipe, "tokenizers"> & { encoder: Pick<Recipe["encoder"], "selectLayer"> },
  batch: Tensor,
): EncodedPictures {
  const layers = layersOf(settings, (layer) => encoder.layerOf(layer));
  const states = encoder.hiddenStates(batch, Math.max(...Object.values(layers)));
  return {
    features: states[layers.features]!,
    semantic: semantic.encodeFeatures(states[layers.semantic]!).to("int16"),
    appearance: appearance.encodeFeatures(states[layers.appearance]!).to("int16"),
  };
}

/** The layer whose output is the features, and those that the tokenizers quantize. */
function layersOf(
  { encoder, tokenizers }: Parameters<typeof encodeOnce>[1],
  layerOf: (layer: number) => number,
): Record<(typeof kinds)[number], number> {
  return {
    features: layerOf(encoder.selectLayer),
    semantic: layerOf(tokenizers.semantic.layer),
    appearance: layerOf(tokenizers.appearance.layer),
  };
}

/** What a row's model reads of pictures: features of the frozen encoder, or the embeddings of their semantic codes. */
export function visualInputOf(parts: FrozenParts, recipe: Recipe, pixelValues: Tensor): Tensor {
  return tidy(() => {
    const { features, semantic } = encodeOnce(parts, recipe, pixelValues);
    return inputOf(parts, recipe, features, semantic);
  });
}

function inputOf(parts: FrozenParts, recipe: Recipe, features: Tensor, semantic: Tensor): Tensor {
  return recipe.visualInput === "discrete" ? embeddings(parts, semantic) : continuousInput(recipe, features);
}

/** Hidden states of the encoder as the projector is given them. (…, hiddenSize) -> same */
export function continuousInput({ normaliseFeatures, encoder }: Recipe, features: Tensor): Tensor {
  return normaliseFeatures ? F.layerNorm(features, [encoder.hiddenSize]) : features;
}

function embeddings({ semantic }: FrozenParts, codes: Tensor): Tensor {
  return noGrad(() => tidy(() => semantic.embed(codes.to("int64")).select(-2, semantic.depth - 1)));
}

/** What features and codes depend on: where it is another, they are stale. */
export async function originOf(
  { encoder, tokenizers }: FrozenFolders,
  settings: CodesSettings,
  preprocessing: Preprocessing,
): Promise<string> {
  const layers = layersOf(settings, (layer) => layer);
  const usual = layersOf(baselines[settings.scale], (layer) => layer);
  return JSON.stringify({
    encoder: await hashOfFile(join(encoder, files.encoder)),
    semantic: await hashOfFile(join(tokenizers, files.tokenizer("semantic"))),
    appearance: await hashOfFile(join(tokenizers, files.tokenizer("appearance"))),
    preprocessing: JSON.stringify(preprocessing),
    features: "hidden state", // files from before had it normalised
    // Files from before name no layers: theirs are the usual ones.
    ...(kinds.some((kind) => layers[kind] !== usual[kind]) && { layers }),
  });
}

async function picturesOf(folder: string, split: Split): Promise<string[]> {
  const data = layout.data(folder);
  const { records } = await loadRecords(join(data, recordsOf[split]), { imagesFolder: data });
  return [...new Set(records.map(({ image }) => image!))];
}

/** The folders of the parts that look at a recipe's pictures. @throws ConfigError when the study lacks one */
export function frozenFolders(study: string, recipe: Recipe): FrozenFolders {
  return { encoder: partFolder(study, recipe, "encoder"), tokenizers: partFolder(study, recipe, "tokenizers") };
}

/**
 * What a row's model reads of the pictures of a split.
 * @throws DataError when the codes were made with other parts than the folder has now
 */
export async function loadVisualCache(
  folder: string,
  split: Split,
  recipe: Recipe,
  parts: FrozenParts,
): Promise<VisualCache> {
  const file = join(partFolder(folder, recipe, "codes"), files.codes(split));
  const encoded = readEncoded(file, await originOf(frozenFolders(folder, recipe), recipe, microPreprocessing));
  if (!encoded) {
    throw new DataError(
      `${file} was made with another encoder, tokenizer or preprocessing than this folder has now: delete it and the ` +
        `file parts/${partsOf(recipe).codes}.json, and run the study again`,
    );
  }
  return visualCache(encoded.keys, encoded, recipe, parts);
}

/**
 * The input and the targets of a recipe.
 * @param keys a picture a row
 * @param encoded is freed, but for what the cache owns from here on
 * @param recipe decides the input (features, or the embeddings of semantic codes) and the targets: those of "control"
 * are the semantic codes of another picture
 */
export function visualCache(
  keys: readonly string[],
  encoded: EncodedPictures,
  recipe: Recipe,
  parts: FrozenParts,
): VisualCache {
  const { device } = parts.encoder.parameters()[0]!;
  const { kind } = recipe.supervision;
  const { features, codes } = tidy(() => {
    const [read, semantic, appearance] = kinds.map((name) => encoded[name].to({ device })) as [Tensor, Tensor, Tensor];
    const targets = new Map<string, Tensor>();
    if (kind === "semantic" || kind === "dual") targets.set("semantic", semantic);
    if (kind === "appearance" || kind === "dual") targets.set("appearance", appearance);
    if (kind === "control") targets.set("semantic", codesOfAnother(semantic, recipe.seed));
    return { features: inputOf(parts, recipe, read, semantic), codes: targets };
  });
  for (const name of kinds) encoded[name].dispose();
  return new VisualCache(keys, features, codes);
}

/** The control: every picture has the codes of another one, always the same. */
function codesOfAnother(codes: Tensor, seed: number): Tensor {
  const count = codes.size(0);
  const order = new Random(seed).fork("control").shuffle(Array.from({ length: count }, (_, i) => i));
  // Each picture takes the codes of the next one in a random circle: never its own.
  const source = new Int32Array(count);
  for (const [place, picture] of order.entries()) source[picture] = order[(place + 1) % count]!;
  return tidy(() => codes.indexSelect(0, indices(source, codes.device)));
}
