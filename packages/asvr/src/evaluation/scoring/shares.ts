/**
 * Scores as shares of what could be right, kept apart by what hangs together: so a value and its bootstrap interval
 * come from the same numbers.
 */
import { groupBy } from "../record-scores.js";

/** An answered question. */
export interface Scored {
  /** What it hangs together with (pair, rotations, picture): drawn as a whole when the benchmark is resampled. */
  cluster: string;
  /** 0 to 1. */
  score: number;
}

/** Something that counts: a question, or a group of questions. */
export interface Unit {
  cluster: string;
  /** Points, of `count`. */
  points: number;
  count: number;
}

/** A final number is a sum of these: `scale` times the share of points. */
export interface Part {
  scale: number;
  units: readonly Unit[];
}

/** Every question counts for itself. */
export function each(items: readonly Scored[]): Unit[] {
  return items.map(({ cluster, score }) => ({ cluster, points: score, count: 1 }));
}

/** A group counts once, and only when all of its questions are right. */
export function allOf<T extends Scored>(items: readonly T[], groupOf: (item: T) => string): Unit[] {
  return [...groupBy(items, groupOf).values()].map((group) => ({
    cluster: group[0]!.cluster,
    points: group.every(({ score }) => score === 1) ? 1 : 0,
    count: 1,
  }));
}

/** Points over what they could be, 0 to 1; 0 where nothing counts. */
export function share(units: readonly Unit[]): number {
  let points = 0;
  let count = 0;
  for (const unit of units) {
    points += unit.points;
    count += unit.count;
  }
  return count === 0 ? 0 : points / count;
}

export function totalOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { scale, units }) => sum + scale * share(units), 0);
}

/** Key -> what `value` gives for the items with it. */
export function valuesBy<T, V>(
  items: readonly T[],
  keyOf: (item: T) => string,
  value: (group: readonly T[]) => V,
): Record<string, V> {
  return Object.fromEntries([...groupBy(items, keyOf)].map(([key, group]) => [key, value(group)]));
}
