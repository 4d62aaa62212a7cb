import { join } from "node:path";
import { manualSeed } from "@asvr/torch";
import { type LlavaRecord, loadRecords } from "../data/records.js";
import { buildSamples, type Sample } from "../data/samples.js";
import { templates } from "../language/conversation.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import { buildVisionLanguageModel } from "../model/build.js";
import type { VisionLanguageModel } from "../model/lvlm.js";
import type { VisualCache } from "../model/visual-cache.js";
import type { Recipe } from "../recipes/recipe.js";
import { latestCheckpoint } from "../training/checkpoint.js";
import { VisionLanguageObjective } from "../training/objectives/vision-language.js";
import { frozenFolders, loadVisualCache } from "./codes.js";
import { loadFirstWeights } from "./first-weights.js";
import { layout } from "./layout.js";
import { type FrozenParts, loadFrozenParts } from "./load.js";
import { noteData, readOwnData } from "./own-data.js";
import type { PartContext } from "./part.js";
import { textTokenizerOf } from "./published-language-model.js";

export const stageNames = ["pretraining", "tuning"] as const;
export type StageName = (typeof stageNames)[number];

/** A row's model before its first step, and its stages as something to train. */
export interface PreparedRow {
  model: VisionLanguageModel;
  tokenizer: TextTokenizer;
  parts: FrozenParts;
  imageTokens: number;
  /**
   * Reads and checks the data of a stage, once.
   * @param maxBad of a user's own records, how many faulty ones may be left out
   */
  read: (stage: StageName, maxBad?: number) => Promise<void>;
  /** The stage as something to train; its data is read where it was not. */
  objective: (stage: StageName) => Promise<VisionLanguageObjective>;
  [Symbol.dispose](): void;
}

interface StageData {
  samples: readonly Sample[];
  visual: VisualCache | null;
}

/**
 * Builds the model of a recipe on the parts that the rows share. The same seed gives equal parts the same start.
 * @param out the run's folder
 * @param isTrained whether the caller loads trained weights: then the model is not filled with what training begins with
 */
export async function prepareRow(
  context: PartContext,
  recipe: Recipe,
  out: string,
  isTrained = false,
): Promise<PreparedRow> {
  const { folder, settings } = context;
  const tokenizer = textTokenizerOf(folder, out);
  const parts = loadFrozenParts(frozenFolders(folder, recipe), recipe);
  const imageTokens = parts.encoder.positions;
  manualSeed(recipe.seed);
  const model = buildVisionLanguageModel(recipe, tokenizer.vocabSize, parts);
  if (!isTrained) await loadFirstWeights(model, recipe, { study: folder, tokenizer });

  const readStage = async (stage: StageName, maxBad: number): Promise<StageData> => {
    const { data, template } = recipe.stages[stage];
    const file = recipe.data[data];
    const common = { tokenizer, template: templates[template], imageTokens };
    if (file !== null) {
      const codesFile = join(out, "codes", `${data}.safetensors`);
      const { images } = recipe.data;
      const own = await readOwnData(context, { ...common, file, images, recipe, parts, codesFile, maxBad });
      const saved = await latestCheckpoint(out);
      const isBegun = saved !== undefined && saved.stageNumber >= stageNames.indexOf(stage);
      const note = await noteData(out, stage, { file, data: own, isBegun }); // kept, whether or not somebody listens
      context.onNote?.(note);
      return own;
    }
    const records = join(layout.data(folder), `${data}.json`);
    const read = await loadRecords(records, { imagesFolder: layout.data(folder) });
    const options = { ...common, file: records, maxLength: recipe.data.maxLength, imageRef };
    worldVisual ??= await loadVisualCache(folder, "train", recipe, parts);
    const used = ofPictures(read.records, recipe.data.share ?? 1);
    return { samples: buildSamples(used, options).samples, visual: worldVisual };
  };
  let worldVisual: VisualCache | undefined; // both stages show the same pictures
  const stages = new Map<StageName, StageData>();
  const read = async (stage: StageName, maxBad = 0) => {
    if (!stages.has(stage)) stages.set(stage, await readStage(stage, maxBad));
  };
  const objective = async (stage: StageName) => {
    await read(stage);
    const { samples, visual } = stages.get(stage)!;
    const { trainable, batchSize, supervised } = recipe.stages[stage];
    return new VisionLanguageObjective(model, {
      samples,
      visual,
      trainable,
      batchSize,
      samplesPerImage: settings.world.questionsPerImage,
      supervised,
      visionWeight: recipe.supervision.weight,
      imageTokens,
      seed: recipe.seed,
    });
  };
  const dispose = () => {
    for (const owned of [model, ...Object.values(parts)]) owned.dispose();
    for (const visual of new Set([...stages.values()].map(({ visual }) => visual))) visual?.dispose();
  };
  return { model, tokenizer, parts, imageTokens, read, objective, [Symbol.dispose]: dispose };
}

/** Pictures are known by their path in the data folder, as in the cache of features and codes. */
export function imageRef(image: string): { key: string } {
  return { key: image };
}

/** The records of the first pictures: a share of them. Every stage shows the pictures in the same order. */
function ofPictures(records: readonly LlavaRecord[], share: number): readonly LlavaRecord[] {
  const pictures = [...new Set(records.map(({ image }) => image))];
  const used = new Set(pictures.slice(0, Math.ceil(pictures.length * share)));
  return records.filter(({ image }) => used.has(image));
}
