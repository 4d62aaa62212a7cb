import type { Difference } from "./recipe.js";
import { everywhere, type Row, semantic, type Table } from "./table.js";

/** Baseline and both kinds of codes, tuned for less or longer: does reconstruction teach more, or only sooner? */
function trainedFor<Name extends string>(name: Name, steps: string, tuningTimes: number) {
  const row = (title: string, change: Difference): Row => ({
    title: `${title}, ${steps}`,
    against: `llava-${name}`,
    at: everywhere(change, { tuning: tuningTimes }),
  });
  return {
    [`llava-${name}`]: row("text only", {}),
    [`appearance-${name}`]: row("appearance codes", { supervision: { kind: "appearance" } }),
    [`asvr-${name}`]: row("semantic codes", semantic),
  } as Record<`${"llava" | "appearance" | "asvr"}-${Name}`, Row>;
}

/** Table 1's rows (the paper's ids), and ours beside them, each as its difference from the baseline. */
export const table1Rows = {
  llava: { title: "text supervision only", at: everywhere({}) },
  "llava-equal-time": {
    title: "text only, for ASVR's training time",
    role: "equal-time",
    note: "as many more steps as make its training take as long as asvr's",
    at: everywhere({}),
  },
  appearance: { title: "appearance codes", at: everywhere({ supervision: { kind: "appearance" } }) },
  dual: { title: "appearance and semantic codes", at: everywhere({ supervision: { kind: "dual" } }) },
  asvr: { title: "semantic codes (ASVR)", at: everywhere(semantic) },
  "llava-discrete": { title: "text only, discrete input", at: everywhere({ visualInput: "discrete" }) },
  "asvr-discrete": {
    title: "semantic codes, discrete input",
    against: "llava-discrete",
    at: everywhere({ visualInput: "discrete", ...semantic }),
  },
  "asvr-tuning-only": {
    title: "semantic codes, tuning stage only",
    at: everywhere({ ...semantic, stages: { pretraining: { supervised: false } } }),
  },
  "asvr-next": {
    title: "semantic codes, Eq. 2 as printed",
    note: "the hidden state before a position predicts its codes",
    at: everywhere({ supervision: { kind: "semantic", alignment: "next" } }),
  },
  control: {
    title: "semantic codes of another picture",
    role: "control",
    at: everywhere({ supervision: { kind: "control" } }),
  },
  ...trainedFor("short", "a quarter of the steps", 0.25),
  ...trainedFor("long", "three times the steps", 3),
} as const satisfies Record<string, Row>;

export type Table1Row = keyof typeof table1Rows;

/** The rows of the demo: what a first look needs. */
export const demoRows: readonly Table1Row[] = ["llava", "llava-equal-time", "appearance", "asvr"];
export const allRows = Object.keys(table1Rows) as Table1Row[];

/** What is reconstructed, and what the language model reads. */
export const table1: Table = {
  title: "Encoders and tokenizers",
  source: "Sec. 4.1, Table 1; learning rates and batches from the authors' released scripts",
  rows: table1Rows,
};
