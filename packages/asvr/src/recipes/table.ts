import type { Scale } from "./baselines.js";
import type { Difference } from "./recipe.js";

/** How a row differs at one scale from the row that it is derived from. */
export interface RowAt {
  change: Difference;
  /** Where the row's own does not say what it is at this scale. */
  title?: string;
  /** Steps of the stages, in those of the other row. */
  times?: { pretraining?: number; tuning?: number };
}

/** A row of a table, as its difference from another one. */
export interface Row {
  title: string;
  /** `tableN/ROW` that it is derived from; left out: the baseline of the scale. */
  from?: string;
  /** The row's difference, at every scale that can express it. */
  at: Partial<Record<Scale, RowAt>>;
  /** What the row is there for, where its id does not say. */
  role?: "equal-time" | "control";
  note?: string;
  /** The row of the same study that it is compared with, where that is not `llava`. */
  against?: string;
}

/** A table of the paper. */
export interface Table {
  title: string;
  /** Where its settings come from, at the paper's scale. */
  source: string;
  /** By the ids of the paper's rows; ours come after them. */
  rows: Readonly<Record<string, Row>>;
  /** `tableN/ROW` of other tables, which a study of this one runs besides, for its comparisons. */
  beside?: readonly string[];
  /** Why some of its rows are not at the micro scale. */
  lacking?: string;
}

/** `everywhere` makes one difference that of every scale. */
export function everywhere(change: Difference, times?: RowAt["times"]): Row["at"] {
  const at = times ? { change, times } : { change };
  return { micro: at, small: at, paper: at };
}

/** The paper's method on top of any row. */
export const semantic = { supervision: { kind: "semantic" } } as const;

/** Instruction tuning on the data of LLaVA-Next, an epoch of it. */
export const onNext = { stages: { tuning: { dataset: "LLaVA-Next-779K", steps: 6086 } } } as const;
