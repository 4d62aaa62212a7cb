import type { Prediction } from "../report/run-folder.js";
import { bootstrapOverClusters, type Interval } from "./statistics.js";

/** Exact match on a user's questions, in percent. */
export interface RecordScores {
  questions: number;
  /** What is resampled in the interval: pictures; a record without one counts as one. */
  pictures: number;
  exactMatch: number;
  /** 95%, percentile bootstrap over pictures: their questions stand or fall together. */
  interval: Interval;
  /** What always giving the commonest of the right answers would score. */
  mostFrequent: { answer: string; exactMatch: number };
  /** By the records' `type`, where they have any. */
  byType: Record<string, { questions: number; exactMatch: number }>;
}

/** @throws RangeError without any answer */
export function scoreRecords(predictions: readonly Prediction[]): RecordScores {
  const clusters = groupBy(predictions, ({ image, id }) => image || id);
  const right = [...clusters.values()].map((members) => members.filter(({ correct }) => correct).length);
  const asked = [...clusters.values()].map((members) => members.length);
  const weighted = (values: readonly number[], drawn: Float64Array) =>
    values.reduce((sum, value, cluster) => sum + value * drawn[cluster]!, 0);
  const interval = bootstrapOverClusters(
    clusters.size,
    (drawn) => (100 * weighted(right, drawn)) / weighted(asked, drawn),
  );
  const answers = groupBy(predictions, ({ answer }) => answer.trim().toLowerCase());
  const [commonest] = [...answers.values()].sort((a, b) => b.length - a.length);
  const types = groupBy(
    predictions.filter(({ type }) => type !== ""),
    ({ type }) => type,
  );
  return {
    questions: predictions.length,
    pictures: clusters.size,
    exactMatch: percentRight(predictions),
    interval,
    mostFrequent: { answer: commonest![0]!.answer, exactMatch: (100 * commonest!.length) / predictions.length },
    byType: Object.fromEntries(
      Array.from(types, ([type, members]) => [type, { questions: members.length, exactMatch: percentRight(members) }]),
    ),
  };
}

function percentRight(predictions: readonly Prediction[]): number {
  return (100 * predictions.filter(({ correct }) => correct).length) / predictions.length;
}

export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}
