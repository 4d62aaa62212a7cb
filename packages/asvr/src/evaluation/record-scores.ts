import { ConfigError } from "../errors.js";
import type { Prediction } from "../runs/run-folder.js";
import { bootstrapOverClusters, type Interval, pairedPermutation } from "./statistics.js";

/** Exact match on a user's questions, in percent. */
export interface RecordScores {
  questions: number;
  /** Different pictures that were shown. */
  pictures: number;
  /** Questions without a picture. */
  withoutPicture: number;
  /** Questions that the model did not take; they count as wrong. */
  refused: number;
  exactMatch: number;
  /** 95%, percentile bootstrap over pictures: their questions stand or fall together. One without a picture stands alone. */
  interval: Interval;
  /** What always giving the commonest of the right answers would score. */
  mostFrequent: { answer: string; exactMatch: number };
  /**
   * What giving the commonest of the right answers to each wording would score, without a look at the picture. A wording
   * that is asked once says nothing: it gets the commonest answer of all.
   */
  mostFrequentByQuestion: { wordings: number; exactMatch: number };
  /** By the records' `type`, where they have any. */
  byType: Record<string, { questions: number; exactMatch: number }>;
}

/** @throws RangeError without any answer */
export function scoreRecords(predictions: readonly Prediction[]): RecordScores {
  const answers = groupBy(predictions, answerOf);
  const [commonest] = [...answers.values()].sort((a, b) => b.length - a.length);
  const wordings = groupBy(predictions, ({ question }) => question);
  const guessed = [...wordings.values()].map((asked) =>
    asked.length === 1
      ? Number(answerOf(asked[0]!) === answerOf(commonest![0]!))
      : Math.max(...[...groupBy(asked, answerOf).values()].map(({ length }) => length)),
  );
  const types = groupBy(
    predictions.filter(({ type }) => type !== ""),
    ({ type }) => type,
  );
  return {
    questions: predictions.length,
    pictures: new Set(predictions.flatMap(({ image }) => image || [])).size,
    withoutPicture: predictions.filter(({ image }) => image === "").length,
    refused: predictions.filter(({ refused }) => refused !== undefined).length,
    exactMatch: percentRight(predictions),
    interval: shareOverPictures(predictions, (one) => Number(one.correct)).interval,
    mostFrequent: { answer: commonest![0]!.answer, exactMatch: (100 * commonest!.length) / predictions.length },
    mostFrequentByQuestion: {
      wordings: wordings.size,
      exactMatch: (100 * guessed.reduce((sum, count) => sum + count, 0)) / predictions.length,
    },
    byType: Object.fromEntries(
      Array.from(types, ([type, members]) => [type, { questions: members.length, exactMatch: percentRight(members) }]),
    ),
  };
}

/** Two models on the questions that both were asked, in percent. */
export interface RecordComparison {
  questions: number;
  exactMatch: number;
  baselineExactMatch: number;
  /** First minus baseline. */
  difference: number;
  /** 95%, of the difference: both get the same pictures. */
  interval: Interval;
  /** Two-sided, by a paired permutation over pictures. */
  p: number;
}

/** @throws ConfigError when the two have no question in common */
export function compareRecords(predictions: readonly Prediction[], baseline: readonly Prediction[]): RecordComparison {
  const theirs = new Map(baseline.map((one) => [one.id, one]));
  const common = predictions.filter(({ id }) => theirs.has(id));
  if (common.length === 0) throw new ConfigError("the two models were asked no question in common");
  const gain = (one: Prediction) => Number(one.correct) - Number(theirs.get(one.id)!.correct);
  const { interval, sums } = shareOverPictures(common, gain);
  const exactMatch = percentRight(common);
  const baselineExactMatch = percentRight(common.map(({ id }) => theirs.get(id)!));
  const difference = exactMatch - baselineExactMatch;
  return { questions: common.length, exactMatch, baselineExactMatch, difference, interval, p: pairedPermutation(sums) };
}

/** The sum of a value over each picture's questions, and the interval of its mean over all questions, in percent. */
function shareOverPictures(
  predictions: readonly Prediction[],
  gain: (one: Prediction) => number,
): { interval: Interval; sums: number[] } {
  const clusters = [...groupBy(predictions, ({ image, id }) => JSON.stringify(image ? [image] : [image, id])).values()];
  const sums = clusters.map((members) => members.reduce((sum, one) => sum + gain(one), 0));
  const asked = clusters.map(({ length }) => length);
  const weighted = (values: readonly number[], drawn: Float64Array) =>
    values.reduce((sum, value, cluster) => sum + value * drawn[cluster]!, 0);
  const share = (drawn: Float64Array) => (100 * weighted(sums, drawn)) / weighted(asked, drawn);
  return { interval: bootstrapOverClusters(clusters.length, share), sums };
}

function answerOf({ answer }: Prediction): string {
  return answer.trim().toLowerCase();
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
