export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** What the rounds of one figure say: each round's ratio is of two processes that ran one after the other. */
export interface Compared {
  /** Medians over the rounds. */
  ours: number;
  peer: number;
  /** Median of the rounds' ratios, ours / peer. */
  ratio: number;
  /** Lowest and highest ratio of a round. */
  spread: [lowest: number, highest: number];
}

export function compare(rounds: readonly { ours: number; peer: number }[]): Compared {
  const ratios = rounds.map(({ ours, peer }) => ours / peer);
  return {
    ours: median(rounds.map(({ ours }) => ours)),
    peer: median(rounds.map(({ peer }) => peer)),
    ratio: median(ratios),
    spread: [Math.min(...ratios), Math.max(...ratios)],
  };
}

/** Four significant digits, everywhere in a value: more would be noise. */
export function rounded<T>(value: T): T {
  if (typeof value === "number") return (Number.isInteger(value) ? value : Number(value.toPrecision(4))) as T;
  if (Array.isArray(value)) return value.map(rounded) as T;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, rounded(inner)])) as T;
}
