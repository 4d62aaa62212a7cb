import { onNext, semantic, type Table } from "./table.js";

/** The encoder, and with it the codes, from SigLIP or from SigLIP 2. */
export const table9: Table = {
  title: "Stronger supervision: SigLIP 2",
  source: "Appendix, Table 9; data of LLaVA-Next, steps for one epoch",
  rows: {
    "llava-siglip": { title: "text only, SigLIP", from: "table1/llava", at: { paper: { change: onNext } } },
    "asvr-siglip": {
      title: "semantic codes, SigLIP",
      from: "table9/llava-siglip",
      against: "llava-siglip",
      at: { paper: { change: semantic } },
    },
    "llava-siglip2": {
      title: "text only, SigLIP 2",
      from: "table9/llava-siglip",
      against: "llava-siglip",
      at: { paper: { change: { encoder: { checkpoint: "siglip2-so400m-patch14-384" } } } },
    },
    "asvr-siglip2": {
      title: "semantic codes, SigLIP 2",
      from: "table9/llava-siglip2",
      against: "llava-siglip2",
      at: { paper: { change: { ...semantic, tokenizers: { semantic: { checkpoint: "vq-siglip2" } } } } },
    },
  },
  lacking: "the embedded world has one encoder",
};
