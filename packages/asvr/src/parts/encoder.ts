import { join } from "node:path";
import { manualSeed, tidy, writeSafetensors } from "@asvr/torch";
import { LlamaForCausalLM } from "../language/llama.js";
import { TextTokenizer } from "../language/tokenizer.js";
import { Projector } from "../layers/projector.js";
import { buildEncoder } from "../model/build.js";
import { VisionLanguageModel } from "../model/lvlm.js";
import { latestCheckpoint } from "../training/checkpoint.js";
import { ContrastiveObjective } from "../training/objectives/encoder.js";
import { CaptioningObjective } from "../training/objectives/scenes.js";
import { train } from "../training/trainer.js";
import type { EncoderSettings } from "./identity.js";
import { files } from "./layout.js";
import { type PartContext, trainOptions } from "./part.js";
import { studyRecipe } from "./settings.js";
import { buildTextTower, readViews } from "./views.js";

/**
 * Trains the vision encoder on image-caption pairs: first on single cells, then on whole pictures. From here on it is
 * frozen.
 */
export async function trainEncoder(context: PartContext, described: EncoderSettings, out: string): Promise<string> {
  const { folder, settings, device } = context;
  const tokenizer = TextTokenizer.fromFile(join(folder, "data", "tokenizer.json"));
  const data = await readViews(context, described.encoder.patchSize, tokenizer);

  manualSeed(settings.sharedSeed);
  const vision = buildEncoder(described);
  const { hiddenSize: dim } = described.encoder;
  const { language } = studyRecipe(settings); // the captioner is one layer of it
  const text = buildTextTower(dim, tokenizer.vocabSize);
  const captioner = new VisionLanguageModel({
    language: new LlamaForCausalLM({
      ...language,
      numHiddenLayers: 1,
      vocabSize: tokenizer.vocabSize,
      attentionBias: false,
    }),
    projector: new Projector(dim, language.hiddenSize),
    supervision: null,
  });

  const { cells, scenes } = settings.encoder;
  const common = { seed: settings.sharedSeed, device };
  const onCells = new ContrastiveObjective({ vision, text }, data, { ...common, batchSize: cells.batchSize });
  const saved = await latestCheckpoint(out);
  let seconds = 0;
  if (saved?.stage !== "scenes") {
    seconds += await train(
      onCells,
      trainOptions(context, { folder: out, stage: "cells", stageNumber: 0, seed: settings.sharedSeed, ...cells }),
    );
  }
  const onScenes = new CaptioningObjective({ vision, text, captioner }, data, {
    ...common,
    batchSize: scenes.batchSize,
    captioningWeight: scenes.captioningWeight,
  });
  seconds += await train(
    onScenes,
    trainOptions(context, {
      folder: out,
      stage: "scenes",
      stageNumber: 1,
      stepsBefore: cells.steps,
      seed: settings.sharedSeed,
      ...scenes,
    }),
  );
  tidy(() => writeSafetensors(join(out, files.encoder), vision.stateDict()));
  const detail = `${vision.parameterCount()} parameters, ${Math.round(seconds)} s of training`;
  const learned = [...Object.values(onCells.modules), ...Object.values(onScenes.modules)];
  for (const owned of new Set([...learned, data.patches])) owned.dispose();
  return detail;
}
