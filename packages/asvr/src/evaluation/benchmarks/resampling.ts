/** Intervals and comparisons of final numbers: what hangs together is drawn as a whole. */
import { Random } from "../../random.js";
import { groupBy } from "../record-scores.js";
import type { Part } from "../scoring/shares.js";
import { type Interval, mean, quantile, standardDeviation } from "../statistics.js";

/** A final number that can be computed again for clusters drawn with replacement. */
export class Resampled {
  readonly #parts: { scale: number; points: Float64Array; count: Float64Array }[];
  /** Clusters that belong to the same parts: they are drawn among themselves, so that no part is ever without any. */
  readonly #strata: readonly (readonly number[])[];

  /** @param clusters all clusters there are, in an order that models which are compared share */
  constructor(
    parts: readonly Part[],
    readonly clusters: readonly string[],
  ) {
    const place = new Map(clusters.map((cluster, at) => [cluster, at]));
    this.#parts = parts.map(({ scale, units }) => {
      const points = new Float64Array(clusters.length);
      const count = new Float64Array(clusters.length);
      for (const unit of units) {
        const at = place.get(unit.cluster)!;
        points[at]! += unit.points;
        count[at]! += unit.count;
      }
      return { scale, points, count };
    });
    const members = parts.map(({ units }) => new Set(units.map(({ cluster }) => cluster)));
    const places = clusters.map((_, at) => at);
    this.#strata = [
      ...groupBy(places, (at) => members.map((part) => (part.has(clusters[at]!) ? "1" : "0")).join("")).values(),
    ];
  }

  /** @param drawn how often each cluster was drawn; once if not given */
  value(drawn?: Float64Array): number {
    let total = 0;
    for (const { scale, points, count } of this.#parts) {
      let hit = 0;
      let possible = 0;
      for (let at = 0; at < points.length; at++) {
        const times = drawn ? drawn[at]! : 1;
        hit += times * points[at]!;
        possible += times * count[at]!;
      }
      if (possible > 0) total += (scale * hit) / possible;
    }
    return total;
  }

  /** Draws as many clusters as there are, with replacement. @param drawn how often each was drawn; overwritten */
  draw(random: Random, drawn: Float64Array): void {
    drawn.fill(0);
    for (const stratum of this.#strata) {
      for (let draw = 0; draw < stratum.length; draw++) drawn[stratum[random.int(stratum.length)]!]! += 1;
    }
  }

  /** 95%, percentile bootstrap. */
  interval(seed = 0): Interval {
    return bootstrap(this, (drawn) => this.value(drawn), 2000, seed);
  }
}

function bootstrap(
  from: Resampled,
  statistic: (drawn: Float64Array, random: Random) => number,
  resamples: number,
  seed: number,
): Interval {
  if (from.clusters.length === 0) throw new RangeError("bootstrap: there is nothing to draw from");
  const random = new Random(seed);
  const drawn = new Float64Array(from.clusters.length);
  const statistics = Float64Array.from({ length: resamples }, () => {
    from.draw(random, drawn);
    return statistic(drawn, random);
  }).sort();
  return [quantile(statistics, 0.025), quantile(statistics, 0.975)];
}

/** The clusters of parts, in the order of their first appearance. */
export function clustersOf(parts: readonly Part[]): string[] {
  return [...new Set(parts.flatMap(({ units }) => units.map(({ cluster }) => cluster)))];
}

export interface Difference {
  /** Percentage points. */
  value: number;
  interval: Interval;
  /** Two-sided: twice the share of resamples on the other side of zero. */
  p: number;
}

/** A paired bootstrap: both models get the same clusters. @throws RangeError when the two know different clusters */
export function compare(model: Resampled, baseline: Resampled, resamples = 4000, seed = 0): Difference {
  const { clusters } = model;
  if (clusters.length !== baseline.clusters.length || clusters.some((one, at) => one !== baseline.clusters[at])) {
    throw new RangeError("compare: the two were not resampled over the same clusters");
  }
  let above = 0;
  let below = 0;
  const interval = bootstrap(
    model,
    (drawn) => {
      const difference = model.value(drawn) - baseline.value(drawn);
      if (difference >= 0) above++;
      if (difference <= 0) below++;
      return difference;
    },
    resamples,
    seed,
  );
  const p = Math.min(1, (2 * (Math.min(above, below) + 1)) / (resamples + 1)); // never 0
  return { value: model.value() - baseline.value(), interval, p };
}

/**
 * McNemar's exact test: of the questions on which only one of the two is right, is it as often the one as the other?
 * Questions are taken as independent.
 * @returns two-sided p
 */
export function mcNemar(onlyModel: number, onlyBaseline: number): number {
  const count = onlyModel + onlyBaseline;
  const fewer = Math.min(onlyModel, onlyBaseline);
  let logTerm = -count * Math.LN2; // of the binomial distribution with one half, at 0
  let tail = 0;
  for (let at = 0; at <= fewer; at++) {
    tail += Math.exp(logTerm);
    logTerm += Math.log((count - at) / (at + 1));
  }
  return Math.min(1, 2 * tail);
}

/** Holm's step-down correction: p values that may be compared with a level as one may compare a single one. */
export function holm(p: readonly number[]): number[] {
  const order = p.map((_, at) => at).sort((a, b) => p[a]! - p[b]!);
  const corrected = new Array<number>(p.length);
  let largest = 0;
  for (const [rank, at] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (p.length - rank) * p[at]!));
    corrected[at] = largest;
  }
  return corrected;
}

export interface Average {
  value: number;
  /** Each benchmark is resampled by itself. */
  interval: Interval;
}

/** The paper's AVG: the plain mean of the final numbers. @throws RangeError without any */
export function averageOf(benchmarks: readonly Resampled[], resamples = 2000, seed = 0): Average {
  const random = new Random(seed);
  const drawn = benchmarks.map(({ clusters }) => new Float64Array(clusters.length));
  const means = Float64Array.from({ length: resamples }, () =>
    mean(
      benchmarks.map((one, at) => {
        one.draw(random, drawn[at]!);
        return one.value(drawn[at]!);
      }),
    ),
  ).sort();
  const value = mean(benchmarks.map((one) => one.value()));
  return { value, interval: [quantile(means, 0.025), quantile(means, 0.975)] };
}

export interface OverSeeds {
  mean: number;
  /** Standard deviation over the seeds. */
  spread: number;
  /** Of a new seed on new questions: seeds are drawn first, then clusters. */
  interval: Interval;
}

/** One number from several trainings of the same recipe. @throws RangeError for fewer than two */
export function overSeeds(seeds: readonly Resampled[], resamples = 2000, seed = 0): OverSeeds {
  const values = seeds.map((one) => one.value());
  const spread = standardDeviation(values);
  const interval = bootstrap(
    seeds[0]!,
    (drawn, random) => mean(seeds.map(() => seeds[random.int(seeds.length)]!.value(drawn))),
    resamples,
    seed,
  );
  return { mean: mean(values), spread, interval };
}
