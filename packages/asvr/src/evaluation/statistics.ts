/**
 * Intervals and tests behind every number of a results table.
 *
 * Two sources of luck are kept apart. With one or two seeds only the choice of test images can be resampled
 * (`bootstrapOverClusters`, `pairedPermutation`); with three or more, training luck is measured too (`tInterval`, `pairedT`).
 * Everything is a pure function; what draws numbers takes a seed and is deterministic.
 */
import jstat from "jstat";
import { Random } from "../random.js";

/** [low, high], in the unit of the statistic. */
export type Interval = [low: number, high: number];

export function mean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("mean: no values");
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Sample standard deviation (divides by n - 1); needs two values or more. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) throw new RangeError(`standardDeviation: ${values.length} value(s), at least 2 are needed`);
  const center = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1));
}

/** The value below which `share` of the sorted values lie, interpolated linearly (numpy's default). */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) throw new RangeError("quantile: no values");
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}

export interface BootstrapOptions {
  resamples?: number;
  seed?: number;
  /** Share of the resampled statistics inside the interval. */
  level?: number;
}

/**
 * Percentile bootstrap that draws whole clusters with replacement. A test image is a cluster: its questions share one
 * picture, so treating them as independent would make the interval too narrow.
 * @param statistic takes how often each cluster was drawn (the counts sum to `clusterCount`); the array is reused
 */
export function bootstrapOverClusters(
  clusterCount: number,
  statistic: (drawn: Float64Array) => number,
  { resamples = 2000, seed = 0, level = 0.95 }: BootstrapOptions = {},
): Interval {
  if (clusterCount < 1) throw new RangeError("bootstrapOverClusters: no clusters to draw from");
  const random = new Random(seed);
  const drawn = new Float64Array(clusterCount);
  const statistics = Float64Array.from({ length: resamples }, () => {
    drawn.fill(0);
    for (let draw = 0; draw < clusterCount; draw++) drawn[random.int(clusterCount)]! += 1;
    return statistic(drawn);
  }).sort();
  const tail = (1 - level) / 2;
  return [quantile(statistics, tail), quantile(statistics, 1 - tail)];
}

/**
 * Two-sided paired permutation test: if two systems were equally good, each image's difference could as well have had
 * the other sign. The statistic is the sum of the differences; p = (k + 1) / (flips + 1), where k sign patterns are at
 * least as extreme as the one seen, so p is never 0.
 */
export function pairedPermutation(
  differences: readonly number[],
  { flips = 10_000, seed = 0 }: { flips?: number; seed?: number } = {},
): number {
  // An image on which both agree adds nothing under any sign: leaving it out changes no sum and saves most draws.
  const active = Float64Array.from(differences.filter((difference) => difference !== 0));
  const seen = Math.abs(active.reduce((sum, difference) => sum + difference, 0));
  const rounding = 1e-12 * active.reduce((sum, difference) => sum + Math.abs(difference), 0);
  const random = new Random(seed);
  let extreme = 0;
  for (let flip = 0; flip < flips; flip++) {
    let sum = 0;
    for (const difference of active) sum += random.uniform() < 0.5 ? difference : -difference;
    if (Math.abs(sum) >= seen - rounding) extreme++;
  }
  return (extreme + 1) / (flips + 1);
}

/** Student's t interval for the mean of independent values (seeds); needs two values or more. */
export function tInterval(values: readonly number[], level = 0.95): Interval {
  const center = mean(values);
  const error = standardDeviation(values) / Math.sqrt(values.length);
  const reach = jstat.studentt.inv(1 - (1 - level) / 2, values.length - 1) * error;
  return [center - reach, center + reach];
}

export interface PairedT {
  t: number;
  degreesOfFreedom: number;
  /** Two-sided. */
  p: number;
}

/** Paired t-test on the differences of pairs (one per seed): is their mean zero? Needs two differences or more. */
export function pairedT(differences: readonly number[]): PairedT {
  const degreesOfFreedom = differences.length - 1;
  const center = mean(differences);
  const error = standardDeviation(differences) / Math.sqrt(differences.length);
  // Without any spread t is 0/0 or infinite: equal pairs say nothing, a constant shift says all that t can say.
  if (error === 0) return center === 0 ? { t: 0, degreesOfFreedom, p: 1 } : { t: center / 0, degreesOfFreedom, p: 0 };
  const t = center / error;
  return { t, degreesOfFreedom, p: 2 * jstat.studentt.cdf(-Math.abs(t), degreesOfFreedom) };
}
