import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nn, readSafetensors, type Tensor, tidy } from "@asvr/torch";
import {
  buildEncoder,
  buildSemanticBranch,
  buildVisionLanguageModel,
  type Recipe,
  type Sample,
  VisionLanguageObjective,
  VisualCache,
} from "asvr";

export const microRows = ["llava", "asvr"] as const;
export type MicroRow = (typeof microRows)[number];

/** `micro.json`: what both sides train on. Weights, features and codes are safetensors beside it. */
export interface MicroFile {
  recipes: Record<MicroRow, Recipe>;
  vocabSize: number;
  keys: readonly string[];
  /** The samples of every picture. */
  pictures: readonly { id: string; inputIds: number[]; labels: number[] }[][];
  questionsPerImage: number;
  /** The pictures of every step, by their place in `pictures`. */
  order: readonly number[][];
}

export const files = {
  described: (folder: string) => join(folder, "micro.json"),
  model: (folder: string) => join(folder, "model.safetensors"),
  semantic: (folder: string) => join(folder, "semantic.safetensors"),
  visual: (folder: string) => join(folder, "visual.safetensors"),
};

/** A frozen tokenizer with fresh weights, on a fresh encoder. */
export function buildTokenizer(recipe: Recipe): ReturnType<typeof buildSemanticBranch> {
  return buildSemanticBranch(recipe, buildEncoder(recipe));
}

/** The tuning stage of a row from the prepared files, with the weights that were written. */
export async function loadObjective(
  folder: string,
  row: MicroRow,
): Promise<{ objective: VisionLanguageObjective; recipe: Recipe }> {
  const described = JSON.parse(await readFile(files.described(folder), "utf8")) as MicroFile;
  const recipe = described.recipes[row];
  // The values come from files: nothing is drawn first.
  const { model, semantic } = nn.creating({ initialise: false }, () => {
    const semantic = buildTokenizer(recipe);
    const tokenizers = { semantic, appearance: semantic };
    return { semantic, model: buildVisionLanguageModel(recipe, described.vocabSize, tokenizers) };
  });
  tidy(() => {
    semantic.load(readSafetensors(files.semantic(folder)).tensors);
    const weights = readSafetensors(files.model(folder)).tensors;
    model.load(weights, { allowUnused: row === "llava" }); // the file has a visual head
  });
  const { tensors } = readSafetensors(files.visual(folder));
  const { questionsPerImage, keys } = described;
  return { objective: objectiveOf(model, recipe, samplesOf(described), questionsPerImage, keys, tensors), recipe };
}

export function objectiveOf(
  model: VisionLanguageObjective["model"],
  recipe: Recipe,
  samples: readonly Sample[],
  questionsPerImage: number,
  keys: readonly string[],
  visual: ReadonlyMap<string, Tensor>,
): VisionLanguageObjective {
  const { trainable, batchSize, supervised } = recipe.stages.tuning;
  const features = visual.get("features")!;
  const codes = new Map([["semantic", visual.get("semantic")!]]);
  return new VisionLanguageObjective(model, {
    samples,
    visual: new VisualCache(keys, features, recipe.supervision.kind === "none" ? new Map() : codes),
    trainable,
    batchSize,
    samplesPerImage: questionsPerImage,
    supervised,
    visionWeight: recipe.supervision.weight,
    imageTokens: features.size(1),
    seed: recipe.seed,
  });
}

function samplesOf({ pictures, keys }: MicroFile): Sample[] {
  return pictures.flatMap((samples, picture) =>
    samples.map(({ id, inputIds, labels }) => ({
      id,
      image: { key: keys[picture]! },
      inputIds: Int32Array.from(inputIds),
      labels: Int32Array.from(labels),
    })),
  );
}

export async function writeDescribed(folder: string, described: MicroFile): Promise<void> {
  await writeFile(files.described(folder), JSON.stringify(described));
}
