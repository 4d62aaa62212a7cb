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
function pair<Name extends string>(name: Name, what: string, at: Row["at"], note?: string) {
  const scales = Object.keys(at).map((scale) => [scale, { change: semantic }]);
  return {
    [`llava-${name}`]: { title: `text only, ${what}`, from: "table1/llava", at, note },
    [`asvr-${name}`]: {
      title: `semantic codes, ${what}`,
      from: `table2/llava-${name}`,
      at: Object.fromEntries(scales),
      against: `llava-${name}`,
      note,
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
      "2M data",
      { paper: { change: bunny }, micro: halfOfTheWorld, small: halfOfTheWorld },
      "at micro scale half of the training pictures, in as many epochs",
    ),
    ...pair(
      "4m",
      "4M data",
      { paper: { change: oneVision }, micro: { change: {} }, small: { change: {} } },
      "at micro scale all training pictures, without a middle stage",
    ),
    ...pair("mistral", "Mistral-7B", mistral, "at micro scale grouped key-value heads and a wider MLP"),
    ...pair("13b", "Vicuna-13B", thirteenBillion, "at micro scale a quarter wider and deeper"),
  },
  lacking: "the small scale has one published language model",
};
