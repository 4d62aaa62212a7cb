import type { Scale } from "./baselines.js";
import type { Difference } from "./recipe.js";
import { type Row, type RowAt, semantic, type Table } from "./table.js";

const bunny = {
  stages: {
    pretraining: { dataset: "Bunny-pretrain-LAION-2M", steps: 7813 },
    tuning: { dataset: "Bunny-v1_1-data-2M", steps: 15_625 },
  },
} as const satisfies Difference;

/** Three stages: between the usual two, the language model learns from as many records as in the last one. */
const oneVision = {
  stages: {
    middle: {
      trainable: ["projector", "visualHead", "language"],
      data: "tuning",
      template: "v1",
      dataset: "LLaVA-OV-4M (mid)",
      steps: 31_250,
      batchSize: 128,
      learningRate: 1e-5,
    },
    tuning: { dataset: "LLaVA-OV-4M", steps: 31_250 },
  },
} as const satisfies Difference;

/** Half of the embedded world for the smaller of the two data scales, in as many epochs: so half of the steps too. */
const halfOfTheWorld: RowAt = { change: { data: { share: 0.5 } }, times: { pretraining: 0.5, tuning: 0.5 } };

const mistral: Row["at"] = {
  paper: {
    change: { language: { backbone: "mistral-7b", intermediateSize: 14_336, numKeyValueHeads: 8 } },
  },
  micro: { change: { language: { backbone: "mistral-shaped", intermediateSize: 448, numKeyValueHeads: 1 } } },
};

const thirteenBillion: Row["at"] = {
  paper: {
    change: {
      language: {
        backbone: "vicuna-13b-v1.5",
        hiddenSize: 5120,
        intermediateSize: 13_824,
        numHiddenLayers: 40,
        numAttentionHeads: 40,
        numKeyValueHeads: 40,
      },
    },
  },
  // The same proportions: a quarter wider, a quarter deeper.
  micro: {
    change: {
      language: {
        backbone: "13b-shaped",
        hiddenSize: 160,
        intermediateSize: 432,
        numHiddenLayers: 4,
        numAttentionHeads: 5,
        numKeyValueHeads: 5,
      },
    },
  },
};

/** A baseline, and ASVR against it. */
function pair<Name extends string>(name: Name, what: Partial<Record<Scale, string>>, at: Row["at"]) {
  const titled = (title: string, changes: Row["at"]) => {
    const scales = Object.entries(changes) as [Scale, RowAt][];
    return Object.fromEntries(scales.map(([scale, one]) => [scale, { title: `${title}, ${what[scale]}`, ...one }]));
  };
  const supervised = Object.fromEntries(Object.keys(at).map((scale) => [scale, { change: semantic }]));
  return {
    [`llava-${name}`]: { title: `text only, ${what.paper}`, from: "table1/llava", at: titled("text only", at) },
    [`asvr-${name}`]: {
      title: `semantic codes, ${what.paper}`,
      from: `table2/llava-${name}`,
      at: titled("semantic codes", supervised),
      against: `llava-${name}`,
    },
  } as Record<`${"llava" | "asvr"}-${Name}`, Row>;
}

/** More data, and other language models. At micro scale the whole world stands for 4M, half of it for 2M. */
export const table2: Table = {
  title: "Data scales and language backbones",
  source: "Sec. 4.2, Table 2; learning rates and batches from the authors' released scripts, steps for one epoch",
  rows: {
    ...pair(
      "2m",
      { paper: "2M data", micro: "half of the pictures", small: "half of the pictures" },
      { paper: { change: bunny }, micro: halfOfTheWorld, small: halfOfTheWorld },
    ),
    ...pair(
      "4m",
      { paper: "4M data", micro: "all pictures", small: "all pictures" },
      { paper: { change: oneVision }, micro: { change: {} }, small: { change: {} } },
    ),
    ...pair("mistral", { paper: "Mistral-7B", micro: "LLM with one key-value head, wider MLP" }, mistral),
    ...pair("13b", { paper: "Vicuna-13B", micro: "LLM a quarter wider, a layer deeper" }, thirteenBillion),
  },
  lacking: "the small scale has one published language model",
};
