import { join } from "node:path";
import { tidy } from "@asvr/torch";
import { attentionToPicture } from "../analysis/attention.js";
import { loadRecords } from "../data/records.js";
import { type TestQuestion, testQuestion } from "../evaluation/questions.js";
import { evaluate, writePredictions } from "../evaluation/run.js";
import { writeJson } from "../files.js";
import { templates } from "../language/conversation.js";
import type { VisionLanguageModel } from "../model/lvlm.js";
import type { VisualCache } from "../model/visual-cache.js";
import { loadVisualCache } from "../parts/codes.js";
import { layout } from "../parts/layout.js";
import type { PartContext } from "../parts/part.js";
import { imageRef, type PreparedRow } from "../parts/prepare.js";
import type { Recipe } from "../recipes/recipe.js";
import type { AttentionSample, Prediction } from "../runs/run-folder.js";

/** Questions whose attention the report shows. */
const ATTENTION_SHOWN = 6;

/** Answers both test sets and draws the attention maps of some of their questions. */
export async function answerTestSets(
  { folder, settings, device, onProgress, signal }: PartContext,
  recipe: Recipe,
  { model, tokenizer, parts, imageTokens }: PreparedRow,
  out: string,
): Promise<void> {
  const template = templates[recipe.stages.tuning.template];
  for (const split of ["test-seen", "test-novel"] as const) {
    const { records } = await loadRecords(join(layout.data(folder), `${split}.json`), {
      imagesFolder: layout.data(folder),
    });
    const questions = records.map((record) => testQuestion(record, tokenizer, template, imageRef));
    using visual = await loadVisualCache(folder, split, recipe, parts);
    const found = await evaluate({
      model,
      tokenizer,
      questions,
      visual,
      imageTokens,
      batchPictures: settings.evaluationBatch,
      maxNewTokens: settings.maxNewTokens,
      device,
      signal,
      onProgress: (done, total) => onProgress({ phase: `answering ${split}`, done, total }),
    });
    const predictions = found.map((prediction) => ({ ...prediction, image: `data/${prediction.image}` }));
    await writePredictions(join(out, "evaluation", split, "predictions.jsonl"), predictions);
    if (split === "test-seen") {
      const samples = attentionSamples(model, questions, predictions, visual, { imageTokens, device });
      await writeJson(join(out, "attention.json"), samples);
    }
  }
}

/** Attention maps of the questions that every row is shown with: one of each kind that names a thing, from different pictures. */
function attentionSamples(
  model: VisionLanguageModel,
  questions: readonly TestQuestion[],
  predictions: readonly Prediction[],
  visual: VisualCache,
  options: { imageTokens: number; device: string },
): AttentionSample[] {
  const side = Math.sqrt(options.imageTokens);
  const chosen: TestQuestion[] = [];
  for (const question of questions) {
    const { type, image } = question.record;
    const isNew = chosen.every(({ record }) => record.type !== type && record.image !== image);
    if (image && isNew && chosen.length < ATTENTION_SHOWN) chosen.push(question);
  }
  const byId = new Map(predictions.map((prediction) => [prediction.id, prediction]));
  return chosen.map(({ record, prompt }) => {
    const { id, image, question, answer, prediction } = byId.get(record.id)!;
    return tidy(() => {
      const { features } = visual.batch([prompt.image!.key]);
      const { mean, byLayer } = attentionToPicture(model, prompt, features, options);
      return {
        id,
        image,
        question,
        answer,
        prediction,
        grid: [side, side] as [number, number],
        attention: mean,
        byLayer,
      };
    });
  });
}
