import { z } from "zod";
import { THINGS_NAMES } from "../micro/things.js";
import { derive, type Recipe } from "../recipes/recipe.js";
import { demoRows } from "../recipes/table1.js";
import { recipeOf, rowSteps, splitName, studyRows } from "../recipes/tables.js";

const count = z.number().int().positive();
const training = z.object({ steps: count, batchSize: count, learningRate: z.number().positive() });

/** Tables that have rows at a scale that runs here. */
export const STUDY_TABLES = ["table1", "table2", "table8"] as const;

/**
 * Everything that a study of the micro scale is made from, apart from the recipes of its rows: the world, the parts that
 * the rows share, which rows and seeds. Kept in the run folder, so that the same command goes on where it stopped.
 */
const settings = z.object({
  table: z.enum(STUDY_TABLES),
  scale: z.enum(["micro", "small"]),
  rows: z.array(z.string()).min(1),
  seeds: z.array(z.number().int().nonnegative()).min(1),
  /** Draws the world and the shared parts: one draw, as the paper has one encoder and one tokenizer. */
  sharedSeed: z.number().int().nonnegative(),
  world: z.object({
    encoder: count,
    text: count,
    train: count,
    test: count,
    novel: count,
    questionsPerImage: count,
    /** The set of things that scenes are made of; settings from before there were two have the standard one. */
    things: z.enum(THINGS_NAMES).default("standard"),
  }),
  encoder: z.object({
    /** Single cells: many short views, from which the concepts are learned. */
    cells: training,
    /** Whole pictures with captions: which thing is where. */
    scenes: training.extend({ captioningWeight: z.number().nonnegative() }),
  }),
  tokenizers: z.object({
    /** What the semantic one learns from; settings from before there was a choice have the features. */
    semantic: training.extend({ learnedFrom: z.enum(["features", "text"]).default("features") }),
    appearance: training,
  }),
  /** The language model before it sees a picture: trained here on text alone, or one that others published. */
  languageModel: z.union([
    training.extend({
      /** Share of the captions that are also told again; more of them leaves less of each step for the questions. */
      retellingShare: z.number().min(0).max(1),
    }),
    z.object({ published: z.literal("smollm2") }),
  ]),
  /** Steps of the rows' two stages; the rows' recipes say the rest. */
  steps: z.object({ pretraining: count, tuning: count }),
  /** Pictures whose questions are answered side by side. */
  evaluationBatch: count,
  /** Longest answer to a question of the test sets: it shows a model that does not stop. */
  maxNewTokens: count.default(4),
  /** Threads of each training. */
  threads: count.max(1024),
  /** Dtype of the matrix products: bfloat16 where the processor is faster with it. Everything else is float32. */
  matmul: z.enum(["float32", "bfloat16"]),
  saveEverySeconds: z.number().positive(),
});
export const settingsSchema = settings.superRefine(({ table, scale, rows }, context) => {
  const known = studyRows(table, scale);
  const unknown = rows.filter((row) => !known.has(row));
  if (unknown.length === 0) return;
  const message = `${table} has no ${unknown.join(", ")} at scale ${scale}; it has ${[...known.keys()].join(", ")}`;
  context.addIssue({ code: "custom", path: ["rows"], message });
});
export interface StudySettings extends z.infer<typeof settingsSchema> {}

/** What `npm run demo` runs: four rows, one seed, minutes. */
export const demoSettings: StudySettings = {
  table: "table1",
  scale: "micro",
  rows: [...demoRows],
  seeds: [0],
  sharedSeed: 0,
  world: {
    encoder: 6000,
    text: 8000,
    train: 6000,
    test: 1000,
    novel: 500,
    questionsPerImage: 11,
    things: "standard",
  },
  encoder: {
    cells: { steps: 700, batchSize: 256, learningRate: 2e-3 },
    scenes: { steps: 250, batchSize: 64, learningRate: 1e-3, captioningWeight: 3 },
  },
  tokenizers: {
    semantic: { steps: 150, batchSize: 96, learningRate: 1e-3, learnedFrom: "features" },
    appearance: { steps: 250, batchSize: 64, learningRate: 2e-3 },
  },
  languageModel: { steps: 2400, batchSize: 8, learningRate: 1.5e-3, retellingShare: 0.3 },
  steps: { pretraining: 200, tuning: 1600 },
  evaluationBatch: 50,
  maxNewTokens: 4, // an answer of the micro world is a word or two
  threads: 1,
  matmul: "float32",
  saveEverySeconds: 20,
};

/** `--scale small`: the same encoder and tokenizers, and SmolLM2-135M-Instruct in the place of the word-level model. */
export const smallSettings: StudySettings = {
  ...demoSettings,
  scale: "small",
  rows: ["llava", "asvr"],
  world: { ...demoSettings.world, text: 10, test: 200, novel: 100 },
  languageModel: { published: "smollm2" },
  steps: { pretraining: 100, tuning: 450 },
  evaluationBatch: 10,
  maxNewTokens: 8, // its tokens are parts of words
  saveEverySeconds: 240, // a checkpoint has 1.6 GB
};

const settingsOfScale: Readonly<Record<StudySettings["scale"], StudySettings>> = {
  micro: demoSettings,
  small: smallSettings,
};

/** The settings that a command begins with. Of Table 1 it is the demo, of another table all of its rows. */
export function settingsOf(table: StudySettings["table"], scale: StudySettings["scale"]): StudySettings {
  const settings = settingsOfScale[scale];
  return table === "table1" ? settings : { ...settings, table, rows: [...studyRows(table, scale).keys()] };
}

/** Settings that go through every part in under two minutes at micro scale, as CI does. The scores mean nothing. */
export function quickened(settings: StudySettings): StudySettings {
  const { world, languageModel } = settings;
  const isMicro = settings.scale === "micro";
  return {
    ...settings,
    world: {
      ...world,
      encoder: 600,
      text: Math.min(world.text, 600),
      train: 600,
      test: isMicro ? 120 : 12,
      novel: isMicro ? 60 : 6,
    },
    encoder: {
      cells: { steps: 60, batchSize: 128, learningRate: 2e-3 },
      scenes: { steps: 20, batchSize: 32, learningRate: 1e-3, captioningWeight: 3 },
    },
    tokenizers: {
      semantic: { steps: 20, batchSize: 64, learningRate: 1e-3, learnedFrom: "features" },
      appearance: { steps: 20, batchSize: 64, learningRate: 2e-3 },
    },
    languageModel: "published" in languageModel ? languageModel : { ...languageModel, steps: 100 },
    steps: isMicro ? { pretraining: 20, tuning: 100 } : { pretraining: 2, tuning: 4 },
  };
}

/** The baseline recipe of a study, with the study's tokenizers. */
export function studyRecipe(settings: StudySettings): Recipe {
  return withTokenizers(settings, recipeOf("table1", "llava", settings.scale));
}

/** The recipe of a row as it runs in this study. */
export function rowSettings(settings: StudySettings, row: string, seed = 0): Recipe {
  const { table, scale, steps, threads } = settings;
  const [of, id] = splitName(studyRows(table, scale).get(row)!);
  const { pretraining, tuning } = rowSteps(of, id, scale, steps);
  return derive(withTokenizers(settings, recipeOf(of, id, scale)), {
    seed,
    threads,
    stages: { pretraining: { steps: pretraining }, tuning: { steps: tuning } },
  });
}

/** A recipe with the tokenizers of this study, whatever else they have. */
export function withTokenizers({ tokenizers }: StudySettings, recipe: Recipe): Recipe {
  const { learnedFrom } = tokenizers.semantic;
  return derive(recipe, { tokenizers: { semantic: { learnedFrom } } });
}
