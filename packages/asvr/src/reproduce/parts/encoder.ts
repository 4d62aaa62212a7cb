import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { keep, manualSeed, type Tensor, tidy, writeSafetensors } from "@asvr/torch";
import { loadPictures } from "../../data/picture-set.js";
import { buildSample } from "../../data/samples.js";
import { plain } from "../../language/conversation.js";
import { LlamaForCausalLM } from "../../language/llama.js";
import { TextTokenizer } from "../../language/tokenizer.js";
import type { EncoderRecord } from "../../micro/index.js";
import { buildEncoder } from "../../model/build.js";
import { VisionLanguageModel } from "../../model/lvlm.js";
import { Projector } from "../../model/projector.js";
import { table1 } from "../../recipes/table1.js";
import { latestCheckpoint } from "../../training/checkpoint.js";
import { type CaptionedView, ContrastiveObjective } from "../../training/objectives/encoder.js";
import { type CaptionedPicture, CaptioningObjective } from "../../training/objectives/scenes.js";
import { train } from "../../training/trainer.js";
import { unfoldPatches } from "../../vision/patches.js";
import { SiglipTextTower } from "../../vision/siglip-text.js";
import { microPreprocessing } from "../layout.js";
import { type PartContext, trainOptions } from "./part.js";

/** The longest caption in tokens, and a margin. */
const MAX_CAPTION = 64;

/**
 * Trains the vision encoder on image-caption pairs: first on single cells, then on whole pictures. From here on it is
 * frozen.
 */
export async function trainEncoder(context: PartContext): Promise<string> {
  const { folder, settings, device } = context;
  const recipe = table1("llava", "micro");
  const tokenizer = TextTokenizer.fromFile(join(folder, "data", "tokenizer.json"));
  const data = await readViews(context, recipe.encoder.patchSize, tokenizer);

  manualSeed(settings.sharedSeed);
  const vision = buildEncoder(recipe);
  const { hiddenSize: dim } = recipe.encoder;
  const text = new SiglipTextTower({
    vocabularySize: tokenizer.vocabSize,
    maxTokens: MAX_CAPTION,
    dim,
    mlpDim: 2 * dim,
    layers: 1,
    heads: 4,
    readout: "mean",
    activation: "gelu",
  });
  const captioner = new VisionLanguageModel({
    language: new LlamaForCausalLM({
      ...recipe.language,
      numHiddenLayers: 1,
      vocabSize: tokenizer.vocabSize,
      attentionBias: false,
    }),
    projector: new Projector(dim, recipe.language.hiddenSize),
    supervision: null,
  });

  const cache = new Map<string, readonly number[]>();
  const encodeText = (caption: string) => {
    const known = cache.get(caption) ?? tokenizer.encode(caption);
    cache.set(caption, known);
    return known;
  };
  const out = join(folder, "encoder");
  const { cells, scenes } = settings.encoder;
  const common = { seed: settings.sharedSeed, device };
  const onCells = new ContrastiveObjective(
    { vision, text },
    { views: data.views, patches: data.patches, encodeText },
    { ...common, batchSize: cells.batchSize },
  );
  const saved = await latestCheckpoint(out);
  let seconds = 0;
  if (saved?.stage !== "scenes") {
    seconds += await train(
      onCells,
      trainOptions(context, { folder: out, stage: "cells", stageNumber: 0, seed: settings.sharedSeed, ...cells }),
    );
  }
  const onScenes = new CaptioningObjective(
    { vision, text, captioner },
    { pictures: data.pictures, patches: data.patches, encodeText },
    { ...common, batchSize: scenes.batchSize, captioningWeight: scenes.captioningWeight },
  );
  seconds += await train(
    onScenes,
    trainOptions(context, { folder: out, stage: "scenes", stageNumber: 1, seed: settings.sharedSeed, ...scenes }),
  );
  tidy(() => writeSafetensors(join(out, "encoder.safetensors"), vision.stateDict()));
  return `${vision.parameterCount()} parameters, ${Math.round(seconds)} s of training`;
}

interface Views {
  /** (pictures, positions, patchDim) */
  patches: Tensor;
  views: CaptionedView[];
  pictures: CaptionedPicture[];
}

async function readViews(
  { folder, onProgress }: PartContext,
  patchSize: number,
  tokenizer: TextTokenizer,
): Promise<Views> {
  const records = JSON.parse(await readFile(join(folder, "data", "encoder.json"), "utf8")) as EncoderRecord[];
  const paths = [...new Set(records.map(({ image }) => image))];
  const rowOf = new Map(paths.map((path, row) => [path, row]));
  const total = paths.length;
  const pixelValues = await loadPictures(join(folder, "data"), paths, microPreprocessing, (done) =>
    onProgress({ phase: "reading pictures", done, total }),
  );
  const patches = keep(unfoldPatches(pixelValues, patchSize).contiguous());
  const grid = microPreprocessing.size / patchSize;
  pixelValues.dispose();

  const views: CaptionedView[] = [];
  const pictures: CaptionedPicture[] = [];
  for (const { id, image, captions, region } of records) {
    const picture = rowOf.get(image)!;
    if (region) {
      views.push({ picture, positions: positionsOf(region, patchSize, grid), captions });
      continue;
    }
    const conversations = [
      { from: "human" as const, value: "<image>" },
      { from: "gpt" as const, value: captions[0]! },
    ];
    const { sample } = buildSample(
      { id, image, conversations },
      { tokenizer, template: plain, imageTokens: grid * grid, maxLength: 128, imageRef: (key) => ({ key }) },
    );
    pictures.push({ picture, captions, sample });
  }
  return { patches, views, pictures };
}

/** Patches that a region covers, row by row. Regions lie along the patches. */
function positionsOf(
  [x, y, width, height]: readonly [number, number, number, number],
  patch: number,
  grid: number,
): number[] {
  const positions: number[] = [];
  for (let row = y / patch; row < (y + height) / patch; row++) {
    for (let column = x / patch; column < (x + width) / patch; column++) positions.push(row * grid + column);
  }
  return positions;
}
