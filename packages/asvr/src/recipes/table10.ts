import { onNext, type Row, semantic, type Table } from "./table.js";

/** ASVR whose codes are those of features that the language model does not read. */
const codesOf = (checkpoint: string, title: string): Row => ({
  title,
  from: "table10/none",
  against: "none",
  at: { paper: { change: { ...semantic, tokenizers: { semantic: { checkpoint } } } } },
});

/** Codes from another feature space than the encoder's. */
export const table10: Table = {
  title: "Supervision from another feature space",
  source: "Appendix, Table 10; data of LLaVA-Next, steps for one epoch",
  rows: {
    none: {
      title: "text supervision only",
      from: "table1/llava",
      note: "its printed scores are those of table3/llava-highres",
      at: { paper: { change: onNext } },
    },
    "vq-dinov3": codesOf("vq-dinov3", "codes of DINOv3"),
    "vq-depth-anything": codesOf("vq-depth-anything", "codes of Depth Anything"),
  },
  lacking: "the embedded world has one encoder",
};
