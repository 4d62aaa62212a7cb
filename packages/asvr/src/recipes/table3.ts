import { onNext, semantic, type Table } from "./table.js";

/** AnyRes of LLaVA-Next: three by three tiles of 384 pixels, and the whole picture. */
export const table3: Table = {
  title: "High resolution, 1152 x 1152",
  source: "Sec. 4.2, Table 3; data and tiles of LLaVA-Next, steps for one epoch",
  rows: {
    "llava-highres": {
      title: "text only, 1152 x 1152",
      from: "table1/llava",
      at: { paper: { change: { ...onNext, encoder: { tilesAside: 3 } } } },
    },
    "asvr-highres": {
      title: "semantic codes, 1152 x 1152",
      from: "table3/llava-highres",
      against: "llava-highres",
      at: { paper: { change: semantic } },
    },
  },
  lacking: "pictures of the embedded world have one size, and training knows no tiles yet",
};
