import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { F, noGrad, readSafetensors, type Tensor, tidy, writeSafetensors } from "@asvr/torch";
import { inBatches, loadPictures } from "../../data/picture-set.js";
import { Random } from "../../data/random.js";
import { loadRecords } from "../../data/records.js";
import { VisualCache } from "../../data/visual-cache.js";
import { DataError } from "../../errors.js";
import type { Recipe } from "../../recipes/recipe.js";
import { table1 } from "../../recipes/table1.js";
import { indices } from "../../training/objectives/pictures.js";
import { layout, microPreprocessing, type Split, splits } from "../layout.js";
import { type FrozenParts, hashOf, loadFrozenParts } from "./load.js";
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
export async function makeCodes(context: PartContext): Promise<string> {
  const { folder, onProgress, signal } = context;
  const recipe = table1("llava", "micro");
  const parts = loadFrozenParts(folder, recipe);
  await mkdir(join(folder, "codes"), { recursive: true });
  const origin = JSON.stringify(await originOf(folder));
  let total = 0;
  for (const [index, split] of splits.entries()) {
    onProgress({ phase: `features and codes: ${split}`, done: index, total: splits.length });
    await new Promise(setImmediate); // lets a request to stop in
    signal.throwIfAborted();
    const keys = await picturesOf(folder, split);
    const pixelValues = await loadPictures(layout.data(folder), keys, microPreprocessing);
    tidy(() => {
      const made = inBatches(pixelValues, 250, (batch) => encodeOnce(parts, recipe, batch));
      const names = ["features", "semantic", "appearance"] as const;
      const tensors = new Map(names.map((name) => [name, F.cat(made.map((part) => part[name]))]));
      writeSafetensors(layout.codes(folder, split), tensors, { keys: JSON.stringify(keys), origin });
    });
    pixelValues.dispose();
    total += keys.length;
  }
  return `${total} pictures`;
}

/** One pass of the encoder gives the features and what both tokenizers quantize. */
function encodeOnce({ encoder, semantic, appearance }: FrozenParts, recipe: Recipe, batch: Tensor) {
  const { selectLayer } = recipe.encoder;
  const states = encoder.hiddenStates(batch, selectLayer);
  return {
    features: F.layerNorm(states.at(-1)!, [recipe.encoder.hiddenSize]),
    semantic: semantic.encodeFeatures(states[encoder.layerOf(recipe.tokenizers.semantic.layer)]!).to("int16"),
    appearance: appearance.encodeFeatures(states[encoder.layerOf(recipe.tokenizers.appearance.layer)]!).to("int16"),
  };
}

/** What a row's model reads of pictures: features of the frozen encoder, or the embeddings of their semantic codes. */
export function visualInputOf(parts: FrozenParts, recipe: Recipe, pixelValues: Tensor): Tensor {
  return tidy(() => {
    const { features, semantic } = encodeOnce(parts, recipe, pixelValues);
    return recipe.visualInput === "continuous" ? features : embeddings(parts, semantic);
  });
}

function embeddings({ semantic }: FrozenParts, codes: Tensor): Tensor {
  return noGrad(() => tidy(() => semantic.embed(codes.to("int64")).select(-2, semantic.depth - 1)));
}

/** Files whose change makes the codes stale. */
async function originOf(folder: string): Promise<Record<string, string>> {
  return {
    encoder: await hashOf(layout.encoder(folder)),
    semantic: await hashOf(layout.tokenizer(folder, "semantic")),
    appearance: await hashOf(layout.tokenizer(folder, "appearance")),
    preprocessing: JSON.stringify(microPreprocessing),
  };
}

async function picturesOf(folder: string, split: Split): Promise<string[]> {
  const data = layout.data(folder);
  const { records } = await loadRecords(join(data, recordsOf[split]), { imagesFolder: data });
  return [...new Set(records.map(({ image }) => image!))];
}

/**
 * What a row's model reads of the pictures of a split.
 * @param recipe decides the input (features, or the embeddings of semantic codes) and the targets: those of "control"
 * are the semantic codes of another picture
 * @throws DataError when the codes were made with other parts than the folder has now
 */
export async function loadVisualCache(
  folder: string,
  split: Split,
  recipe: Recipe,
  parts: FrozenParts,
): Promise<VisualCache> {
  const file = layout.codes(folder, split);
  const { tensors, metadata } = readSafetensors(file);
  const origin = JSON.stringify(await originOf(folder));
  if (metadata.origin !== origin) {
    throw new DataError(
      `${file} was made with another encoder, tokenizer or preprocessing than this folder has now: delete it and the ` +
        "file parts/codes.json, and run the study again",
    );
  }
  const keys = JSON.parse(metadata.keys!) as string[];
  const { device } = parts.encoder.parameters()[0]!;
  for (const [name, stored] of tensors) {
    tensors.set(name, stored.to({ device }));
    stored.dispose();
  }
  const [semantic, appearance] = [tensors.get("semantic")!, tensors.get("appearance")!];
  const { kind } = recipe.supervision;
  const codes = new Map<string, Tensor>();
  if (kind === "semantic" || kind === "dual") codes.set("semantic", semantic);
  if (kind === "appearance" || kind === "dual") codes.set("appearance", appearance);
  if (kind === "control") codes.set("semantic", codesOfAnother(semantic, recipe.seed));
  const features = tensors.get("features")!;
  const cache = new VisualCache(
    keys,
    recipe.visualInput === "discrete" ? embeddings(parts, semantic) : features,
    codes,
  );
  // What this row does not read is freed; the cache owns the rest.
  const used = new Set([cache.features, ...codes.values()]);
  for (const tensor of tensors.values()) if (!used.has(tensor)) tensor.dispose();
  return cache;
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
