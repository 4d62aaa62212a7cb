import { onNext, type Table } from "./table.js";

/** ROSS denoises the picture's features, ASVR predicts its codes. */
export const table4: Table = {
  title: "ASVR and ROSS",
  source: "Sec. 4.3, Table 4; data of LLaVA-Next, steps for one epoch",
  rows: {
    "ross-vae": {
      title: "denoises features of a VAE (ROSS)",
      from: "table4/asvr-next",
      at: { paper: { change: { supervision: { kind: "denoising", denoises: "vae" } } } },
    },
    "ross-siglip": {
      title: "denoises features of SigLIP (ROSS)",
      from: "table4/asvr-next",
      at: { paper: { change: { supervision: { kind: "denoising", denoises: "siglip" } } } },
    },
    "asvr-next": {
      title: "semantic codes (ASVR)",
      from: "table1/asvr",
      against: "ross-siglip",
      at: { paper: { change: onNext } },
    },
  },
  lacking: "the embedded world has one set of questions, and a denoising supervision is not there yet",
};
