import { join } from "node:path";
import { manualSeed, tidy, writeSafetensors } from "@asvr/torch";
import { type LlavaRecord, loadRecords } from "../data/records.js";
import { buildSamples } from "../data/samples.js";
import { ConfigError } from "../errors.js";
import { templates } from "../language/conversation.js";
import { TextTokenizer } from "../language/tokenizer.js";
import { Projector } from "../layers/projector.js";
import { buildLanguageModel } from "../model/build.js";
import { VisionLanguageModel } from "../model/lvlm.js";
import { VisionLanguageObjective } from "../training/objectives/vision-language.js";
import { train } from "../training/trainer.js";
import type { LanguageModelSettings } from "./identity.js";
import { files, layout } from "./layout.js";
import { type PartContext, trainOptions } from "./part.js";

/**
 * Trains the language model on text alone: questions whose context is a caption, and captions told again in another
 * order. So it can answer and describe before it has seen a picture, and a projector can learn with it frozen.
 */
export async function trainLanguageModel(
  context: PartContext,
  described: LanguageModelSettings,
  out: string,
): Promise<string> {
  const { folder, settings } = context;
  const { languageModel } = settings;
  if ("published" in languageModel) throw new ConfigError("a published language model is not trained here");
  const tokenizer = TextTokenizer.fromFile(layout.textTokenizer(folder));
  const file = join(layout.data(folder), "text.json");
  const { records } = await loadRecords(file);
  const options = { file, tokenizer, imageTokens: 0, maxLength: 128 };
  const isRetelling = ({ conversations }: LlavaRecord) => conversations[0]?.value === "";
  const retold = thin(records.filter(isRetelling), languageModel.retellingShare);
  const asked = records.filter((record) => !isRetelling(record));
  const samples = [
    ...buildSamples(retold, { ...options, template: templates.plain }).samples,
    ...buildSamples(asked, { ...options, template: templates.micro }).samples,
  ];

  manualSeed(settings.sharedSeed);
  const { hiddenSize } = described.language;
  const language = buildLanguageModel(described, tokenizer.vocabSize);
  const model = new VisionLanguageModel({
    language,
    projector: new Projector(hiddenSize, hiddenSize),
    supervision: null,
  });
  const objective = new VisionLanguageObjective(model, {
    samples,
    visual: null,
    trainable: ["language"],
    batchSize: languageModel.batchSize,
    samplesPerImage: settings.world.questionsPerImage + 1, // and the retelling
    supervised: false,
    visionWeight: 0,
    imageTokens: 0,
    seed: settings.sharedSeed,
  });
  const seconds = await train(
    objective,
    trainOptions(context, {
      folder: out,
      stage: "text",
      stageNumber: 0,
      seed: settings.sharedSeed,
      ...languageModel,
    }),
  );
  tidy(() => writeSafetensors(join(out, files.languageModel), language.stateDict()));
  const detail = `${language.parameterCount()} parameters, ${Math.round(seconds)} s of training`;
  model.dispose();
  return detail;
}

/** The first of every so many records: a share of them, evenly spread. */
function thin<T>(records: readonly T[], share: number): T[] {
  return records.filter((_, index) => Math.floor((index + 1) * share) > Math.floor(index * share));
}
