/** How the report prints numbers, the same in the page, the Markdown and the terminal. */
import type { Interval } from "../evaluation/statistics.js";

const minus = "\u2212";
/** A space at which no line breaks. */
const joined = "\u00a0";

/** A p value for a table cell: "0.004", "< 0.001". */
export function bareProbability(p: number): string {
  return p < 0.001 ? `<${joined}0.001` : p.toFixed(3);
}

/** A percentage or a number of points with one decimal: "53.7", "−0.3". */
export function points(value: number): string {
  const text = Math.abs(value).toFixed(1);
  return value < 0 && text !== "0.0" ? minus + text : text;
}

/** Points with their sign: "+4.6", "−0.3", "0.0". */
export function signedPoints(value: number): string {
  const text = points(value);
  return value > 0 && text !== "0.0" ? `+${text}` : text;
}

export function interval([low, high]: Interval): string {
  return `[${points(low)},${joined}${points(high)}]`;
}

/** "p = 0.004", "p < 0.001". */
export function probability(p: number): string {
  return (p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`).replaceAll(" ", joined);
}

/** "1,120". */
export function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** "0.61 M", "7.1 B"; small numbers as they are. */
export function compact(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} B`;
  if (value >= 1e4) return `${(value / 1e6).toFixed(2)} M`;
  return whole(value);
}

/** "48 s", "1 min 35 s", "2 h 05 min". */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  const pad = (value: number) => String(value).padStart(2, "0");
  if (total < 3600) return `${Math.floor(total / 60)} min ${pad(total % 60)} s`;
  const minutes = Math.round(total / 60);
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
}

export function bytes(value: number): string {
  return value >= 1e9 ? `${(value / 1e9).toFixed(2)} GB` : `${(value / 1e6).toFixed(0)} MB`;
}

/** "a", "a and b", "a, b and c". */
export function listing(items: readonly string[]): string {
  return items.length < 2 ? (items[0] ?? "") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}
