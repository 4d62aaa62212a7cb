import type { StudySettings } from "../parts/settings.js";
import { baselines } from "../recipes/baselines.js";
import type { Recipe } from "../recipes/recipe.js";

// What the parts of a study cost, in seconds of the machine on which the demo was measured (two cores of an EPYC, one
// thread a part). Another machine takes other seconds, but the parts keep about these proportions.

const SECONDS_PER = {
  /** A picture that is drawn and written, read by a training, encoded. */
  picture: { drawn: 0.0024, read: 0.0036, encoded: 0.0018 },
  /** A sample in a step of what is trained. */
  cell: 0.001,
  scene: 0.0054,
  semantic: 0.0007,
  appearance: 0.0006,
  text: 0.017,
  pretraining: 0.0034,
  tuning: 0.0081,
  /** The questions of a picture of the test sets. */
  answered: 0.004,
};

/** Reading data, features and codes before a row is trained. */
const PREPARING_SECONDS = 9;

/** A visual head beside the language model of the micro scale. */
const HEAD = 0.8;

/** Samples are so much longer, in tokens: published models' templates and tokenizers make more of them. */
const LENGTH: Readonly<Record<StudySettings["scale"], number>> = { micro: 1, small: 1.75 };

export function worldSeconds({ world: { encoder, train, test, novel } }: StudySettings): number {
  return (encoder + train + test + novel) * SECONDS_PER.picture.drawn;
}

export function encoderSeconds({ world, encoder: { cells, scenes } }: StudySettings): number {
  return (
    world.encoder * SECONDS_PER.picture.read +
    cells.steps * cells.batchSize * SECONDS_PER.cell +
    scenes.steps * scenes.batchSize * SECONDS_PER.scene
  );
}

export function tokenizersSeconds({ world, tokenizers: { semantic, appearance } }: StudySettings): number {
  return (
    world.encoder * SECONDS_PER.picture.read +
    semantic.steps * semantic.batchSize * SECONDS_PER.semantic +
    appearance.steps * appearance.batchSize * SECONDS_PER.appearance
  );
}

export function codesSeconds({ world: { train, test, novel } }: StudySettings): number {
  return (train + test + novel) * SECONDS_PER.picture.encoded;
}

/** A published model costs nothing here: how long a download takes says nothing of the other parts. */
export function languageModelSeconds({ languageModel }: StudySettings, recipe: Recipe): number {
  if ("published" in languageModel) return 0;
  return languageModel.steps * languageModel.batchSize * SECONDS_PER.text * languageSize(recipe);
}

/** @param steps that are timed, of each stage, of the baseline and of a row with a visual head */
export function calibrationSeconds({ scale }: StudySettings, { stages, ...recipe }: Recipe, steps: number): number {
  const language = languageSize(recipe);
  const { pretraining, tuning } = stages;
  const step = pretraining.batchSize * SECONDS_PER.pretraining + tuning.batchSize * SECONDS_PER.tuning;
  return PREPARING_SECONDS + steps * step * LENGTH[scale] * (2 * language + HEAD);
}

/** @param asLongAsHead whether it is trained for as long as with a visual head, having none */
export function rowSeconds({ scale, world }: StudySettings, recipe: Recipe, asLongAsHead: boolean): number {
  const { supervision, stages } = recipe;
  const heads = supervision.kind === "dual" ? 2 : supervision.kind !== "none" || asLongAsHead ? 1 : 0;
  const size = languageSize(recipe) + heads * HEAD;
  const { pretraining, tuning } = stages;
  const answers = (world.test + world.novel) * SECONDS_PER.answered * languageSize(recipe);
  const samples =
    pretraining.steps * pretraining.batchSize * SECONDS_PER.pretraining +
    tuning.steps * tuning.batchSize * SECONDS_PER.tuning;
  return PREPARING_SECONDS + LENGTH[scale] * (answers + samples * size);
}

/** Weights of a language model's layers beside those of the micro scale: its time goes with them. */
function languageSize({ language }: Pick<Recipe, "language">): number {
  return layerWeights(language) / layerWeights(baselines.micro.language);
}

function layerWeights(language: Recipe["language"]): number {
  const { hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, numKeyValueHeads } = language;
  const attention = 2 * hiddenSize * hiddenSize * (1 + numKeyValueHeads / numAttentionHeads);
  return numHiddenLayers * (attention + 3 * hiddenSize * intermediateSize);
}
