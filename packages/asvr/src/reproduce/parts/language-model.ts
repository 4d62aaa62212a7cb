import { join } from "node:path";
import { manualSeed, tidy, writeSafetensors } from "@asvr/torch";
import { loadTextRecords } from "../../data/records.js";
import { buildSamples } from "../../data/samples.js";
import { templates } from "../../language/conversation.js";
import { TextTokenizer } from "../../language/tokenizer.js";
import { buildLanguageModel } from "../../model/build.js";
import { VisionLanguageModel } from "../../model/lvlm.js";
import { Projector } from "../../model/projector.js";
import { table1 } from "../../recipes/table1.js";
import { VisionLanguageObjective } from "../../training/objectives/vision-language.js";
import { train } from "../../training/trainer.js";
import { layout } from "../layout.js";
import { type PartContext, trainOptions } from "./part.js";

/** Trains the language model on text alone: captions, and questions whose context is a caption. */
export async function trainLanguageModel(context: PartContext): Promise<string> {
  const { folder, settings, device } = context;
  const recipe = table1("llava", "micro");
  const tokenizer = TextTokenizer.fromFile(layout.textTokenizer(folder));
  const file = join(layout.data(folder), "text.json");
  const { records } = await loadTextRecords(file);
  const every = settings.languageModel.textShare > 0 ? Math.round(1 / settings.languageModel.textShare) : Infinity;
  let texts = 0;
  const learned = records.filter((record) => !("text" in record) || texts++ % every === 0);
  const { samples } = buildSamples(learned, {
    file,
    tokenizer,
    template: templates.micro,
    imageTokens: 0,
    maxLength: 128,
  });

  manualSeed(settings.sharedSeed);
  const { hiddenSize } = recipe.language;
  const language = buildLanguageModel(recipe, tokenizer.vocabSize);
  const model = new VisionLanguageModel({
    language,
    projector: new Projector(hiddenSize, hiddenSize),
    supervision: null,
  });
  const objective = new VisionLanguageObjective(model, {
    samples,
    visual: null,
    trainable: ["language"],
    batchSize: settings.languageModel.batchSize,
    samplesPerImage: settings.world.questionsPerImage + 1, // the caption itself is one
    supervised: false,
    visionWeight: 0,
    imageTokens: 0,
    seed: settings.sharedSeed,
    device,
  });
  const out = join(folder, "text-lm");
  const seconds = await train(
    objective,
    trainOptions(context, {
      folder: out,
      stage: "text",
      stageNumber: 0,
      seed: settings.sharedSeed,
      ...settings.languageModel,
    }),
  );
  tidy(() => writeSafetensors(layout.languageModel(folder), language.stateDict()));
  return `${language.parameterCount()} parameters, ${Math.round(seconds)} s of training`;
}
