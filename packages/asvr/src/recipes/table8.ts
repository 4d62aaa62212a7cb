import { everywhere, type RowAt, type Table } from "./table.js";

/** A quarter of the pictures, as 3M are of 12M, seen as often: so a quarter of the steps too. */
const quarter: RowAt = { change: { tokenizers: { dataShare: 0.25 } } };

/** What the tokenizer was trained on, and in which stages its codes are predicted. */
export const table8: Table = {
  title: "Ablations",
  source: "Sec. 4.4, Table 8; learning rates and batches from the authors' released scripts",
  rows: {
    "tokenizer-3m": {
      title: "tokenizer of a quarter of the pictures",
      from: "table1/asvr",
      against: "asvr",
      at: {
        paper: {
          title: "tokenizer trained on 3M",
          change: { tokenizers: { semantic: { checkpoint: "vq-siglip-3m" } } },
        },
        micro: quarter,
        small: quarter,
      },
    },
    "it-only": {
      title: "codes in instruction tuning only",
      from: "table1/asvr",
      against: "asvr",
      at: everywhere({ stages: { pretraining: { supervised: false } } }),
    },
    asvr: { title: "semantic codes (ASVR), both stages", from: "table1/asvr", at: everywhere({}) },
  },
  beside: ["table1/llava"],
};
