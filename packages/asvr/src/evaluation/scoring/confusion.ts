/** Yes/no answers counted as true and false positives (POPE). */
import type { Part, Unit } from "./shares.js";
import type { YesNo } from "./yes-no.js";

export interface YesNoItem {
  cluster: string;
  gold: "yes" | "no";
  said: YesNo;
}

/** Shares, 0 to 1; those of nothing are 0. */
export interface Confusion {
  tp: number;
  fp: number;
  tn: number;
  fn: number;
  accuracy: number;
  precision: number;
  recall: number;
  f1: number;
}

/**
 * An answer that is neither yes nor no is wrong. @param unread what it counts as: "no" as VLMEvalKit has it (a miss where
 * the answer is yes), or "nothing" as lmms-eval (left out of precision and recall)
 */
export function confusion(items: readonly YesNoItem[], unread: "no" | "nothing" = "no"): Confusion {
  const count = (gold: "yes" | "no", said: YesNo) =>
    items.filter((item) => item.gold === gold && (item.said ?? (unread === "no" ? "no" : undefined)) === said).length;
  const tp = count("yes", "yes");
  const fp = count("no", "yes");
  const fn = count("yes", "no");
  const precision = ratio(tp, tp + fp);
  const recall = ratio(tp, tp + fn);
  return {
    tp,
    fp,
    tn: count("no", "no"),
    fn,
    accuracy: ratio(items.filter(({ gold, said }) => gold === said).length, items.length),
    precision,
    recall,
    f1: ratio(2 * precision * recall, precision + recall),
  };
}

/** F1 as a share: twice the right yes over all yes that were said or meant. */
export function f1Part(items: readonly YesNoItem[], scale: number): Part {
  const units = items.map(({ cluster, gold, said }): Unit => {
    const meant = gold === "yes" ? 1 : 0;
    const spoken = said === "yes" ? 1 : 0;
    return { cluster, points: 2 * meant * spoken, count: meant + spoken };
  });
  return { scale, units };
}

export function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
