import type { Row, Table } from "./table.js";

/** A row of Table 6 trains as another table's row does; what counts here is its cost. */
const same = (from: string, title: string): Row => ({ title, from, at: { paper: { change: {} } } });

/** Compute against score, by data. */
export const table6: Table = {
  title: "Compute by data",
  source: "Appendix, Table 6: ASVR's rows of Tables 1, 2 and 4",
  rows: {
    "665k": same("table1/asvr", "LLaVA-1.5-665K"),
    "779k": same("table4/asvr-next", "LLaVA-Next-779K"),
    "2m": same("table2/asvr-2m", "Bunny-2M"),
    "4m": same("table2/asvr-4m", "LLaVA-OV-4M"),
  },
  lacking: "its trainings are rows of other tables: asvr reproduce table2 runs those that the embedded world has",
};

/** Compute against score, by language model. */
export const table7: Table = {
  title: "Compute by backbone",
  source: "Appendix, Table 7: ASVR's rows of Tables 1 and 2",
  rows: {
    "7b": same("table1/asvr", "Vicuna-7B"),
    "13b": same("table2/asvr-13b", "Vicuna-13B"),
  },
  lacking: "its trainings are rows of other tables: asvr reproduce table2 runs those that the embedded world has",
};
