import { ConfigError } from "../errors.js";
import { defineRecipe, derive, type Recipe } from "./recipe.js";

export type Scale = "micro" | "small" | "paper";

/** LLaVA-1.5 with SigLIP and Vicuna-7B: the baseline of Table 1 (settings of the authors' released scripts). */
const paperBaseline = defineRecipe({
  name: "table1/llava",
  title: "text supervision only",
  source: "Sec. 4.1, Table 1; learning rates and batches from the authors' released scripts",
  scale: "paper",
  visualInput: "continuous",
  normaliseFeatures: false,
  encoder: {
    imageSize: 384,
    patchSize: 14,
    hiddenSize: 1152,
    intermediateSize: 4304,
    numHiddenLayers: 27,
    numAttentionHeads: 16,
    selectLayer: -2,
  },
  tokenizers: {
    semantic: { depth: 8, codebookSize: 16_384, codeDim: 1152, layer: 26, sharedCodebook: true },
    appearance: { depth: 8, codebookSize: 16_384, codeDim: 1152, layer: 6, sharedCodebook: true },
  },
  language: {
    hiddenSize: 4096,
    intermediateSize: 11_008,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    numKeyValueHeads: 32,
    tieWordEmbeddings: false,
  },
  visualHead: { embedDim: 2048, headDim: 128, layers: 3 },
  supervision: { kind: "none", alignment: "same", weight: 1 },
  stages: {
    pretraining: {
      trainable: ["projector", "visualHead"],
      data: "captions",
      template: "plain",
      steps: 2181, // one epoch of LLaVA-558K
      batchSize: 256,
      learningRate: 1e-3,
    },
    tuning: {
      trainable: ["projector", "visualHead", "language"],
      data: "tuning",
      template: "v1",
      steps: 5198, // one epoch of LLaVA-1.5-665K
      batchSize: 128,
      learningRate: 2e-5,
    },
  },
  seed: 0,
  threads: 1,
});

/** The same experiment in minutes on a CPU: smaller in every size, trained on the embedded world. */
const microBaseline = derive(paperBaseline, {
  scale: "micro",
  source: "the micro experiment: sizes and steps chosen for minutes on two cores",
  normaliseFeatures: true,
  encoder: {
    imageSize: 56,
    hiddenSize: 128,
    intermediateSize: 512,
    numHiddenLayers: 4,
    numAttentionHeads: 4,
  },
  tokenizers: {
    semantic: { depth: 4, codebookSize: 256, codeDim: 128, layer: 3, sharedCodebook: false },
    appearance: { depth: 4, codebookSize: 256, codeDim: 32, layer: 1, sharedCodebook: false },
  },
  language: {
    hiddenSize: 128,
    intermediateSize: 344,
    numHiddenLayers: 3,
    numAttentionHeads: 4,
    numKeyValueHeads: 4,
    tieWordEmbeddings: true,
  },
  visualHead: { embedDim: 96, headDim: 24, layers: 2 },
  stages: {
    pretraining: { steps: 200, batchSize: 32, learningRate: 1e-3, warmupRatio: 0.05, betas: [0.9, 0.98] },
    tuning: { steps: 1600, batchSize: 8, learningRate: 1e-3, warmupRatio: 0.05, betas: [0.9, 0.98], template: "micro" },
  },
});

/**
 * The micro world's pictures, encoder and tokenizers under a language model that was trained by others: SmolLM2-135M
 * Instruct, asked with its own template. Features reach the projector as they are, as in LLaVA.
 */
const smallBaseline = derive(microBaseline, {
  scale: "small",
  source: "the small experiment: a published language model of 135M parameters, steps chosen for an hour on two cores",
  normaliseFeatures: false,
  language: {
    hiddenSize: 576,
    intermediateSize: 1536,
    numHiddenLayers: 30,
    numAttentionHeads: 9,
    numKeyValueHeads: 3,
    ropeTheta: 100_000,
    tieWordEmbeddings: true,
  },
  stages: {
    pretraining: { steps: 120, batchSize: 16, learningRate: 1e-3 },
    tuning: { steps: 800, batchSize: 3, learningRate: 2e-4, template: "smollm2" },
  },
});

const baselines: Readonly<Record<Scale, Recipe>> = {
  micro: microBaseline,
  small: smallBaseline,
  paper: paperBaseline,
};

interface Row {
  title: string;
  /** What it is there for, where its id does not say. */
  role?: "equal-time" | "control";
  note?: string;
  /** The row that it is compared with, where that is not `llava`. */
  against?: string;
  /** Tuning steps, in those of the other rows. */
  tuningTimes?: number;
  change: Parameters<typeof derive>[1];
}

const semantic = { supervision: { kind: "semantic" } } as const;

/** Baseline and both kinds of codes, tuned for less or longer: does reconstruction teach more, or only sooner? */
function trainedFor<Name extends string>(name: Name, steps: string, tuningTimes: number) {
  const row = (title: string, change: Row["change"]): Row => ({
    title: `${title}, ${steps}`,
    against: `llava-${name}`,
    tuningTimes,
    change,
  });
  return {
    [`llava-${name}`]: row("text only", {}),
    [`appearance-${name}`]: row("appearance codes", { supervision: { kind: "appearance" } }),
    [`asvr-${name}`]: row("semantic codes", semantic),
  } as Record<`${"llava" | "appearance" | "asvr"}-${Name}`, Row>;
}

/** Table 1's rows (the paper's ids), and ours beside them, each as its difference from the baseline. */
export const table1Rows = {
  llava: { title: "text supervision only", change: {} },
  "llava-equal-time": {
    title: "text only, for ASVR's training time",
    role: "equal-time",
    note: "as many more steps as make its training take as long as asvr's",
    change: {},
  },
  appearance: { title: "appearance codes", change: { supervision: { kind: "appearance" } } },
  dual: { title: "appearance and semantic codes", change: { supervision: { kind: "dual" } } },
  asvr: { title: "semantic codes (ASVR)", change: semantic },
  "llava-discrete": { title: "text only, discrete input", change: { visualInput: "discrete" } },
  "asvr-discrete": {
    title: "semantic codes, discrete input",
    against: "llava-discrete",
    change: { visualInput: "discrete", ...semantic },
  },
  "asvr-tuning-only": {
    title: "semantic codes, tuning stage only",
    change: { ...semantic, stages: { pretraining: { supervised: false } } },
  },
  "asvr-next": {
    title: "semantic codes, Eq. 2 as printed",
    note: "the hidden state before a position predicts its codes",
    change: { supervision: { kind: "semantic", alignment: "next" } },
  },
  control: {
    title: "semantic codes of another picture",
    role: "control",
    change: { supervision: { kind: "control" } },
  },
  ...trainedFor("short", "a quarter of the steps", 0.25),
  ...trainedFor("long", "three times the steps", 3),
} as const satisfies Record<string, Row>;

export type Table1Row = keyof typeof table1Rows;

/** The rows of the demo: what a first look needs. */
export const demoRows: readonly Table1Row[] = ["llava", "llava-equal-time", "appearance", "asvr"];
export const allRows = Object.keys(table1Rows) as Table1Row[];

/** `table1/ROW` at a scale. @throws ConfigError for a row that Table 1 does not have */
export function table1(row: string, scale: Scale): Recipe {
  const found: Row | undefined = Object.hasOwn(table1Rows, row) ? table1Rows[row as Table1Row] : undefined;
  if (!found) throw new ConfigError(`table1 has no row "${row}"; it has ${allRows.join(", ")}`);
  const recipe = derive(baselines[scale], { name: `table1/${row}`, title: found.title, ...found.change });
  return derive(recipe, { stages: { tuning: { steps: tuningSteps(row, recipe.stages.tuning.steps) } } });
}

/** A row's tuning steps where the others have `steps`. */
export function tuningSteps(row: string, steps: number): number {
  const { tuningTimes = 1 }: Row = table1Rows[row as Table1Row];
  return Math.max(1, Math.round(steps * tuningTimes));
}

/** What the report says of a row beside its numbers. */
export function rowNotes(row: Table1Row): Pick<Row, "role" | "note" | "against"> {
  const { role, note, against }: Row = table1Rows[row];
  return { role, note, ...(against !== row && { against }) };
}

/** A recipe by its name: `table1/asvr`, or `micro/asvr`, `small/asvr` for that row at that scale. @throws ConfigError */
export function recipeNamed(name: string, scale: Scale): Recipe {
  const [table, row = ""] = name.split("/");
  if (table === "table1") return table1(row, scale);
  if (table === "micro" || table === "small") return table1(row, table);
  throw new ConfigError(
    `there is no recipe ${JSON.stringify(name)}; recipes are table1/ROW, micro/ROW or small/ROW, with ROW one of ${allRows.join(", ")}`,
  );
}
