/** Line charts of training, drawn on the server by Observable Plot. Colours are CSS variables of the page. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { MetricsLine } from "../runs/run-folder.js";
import { type Markup, trusted } from "./markup.js";

const { document } = parseHTML("<!doctype html><html><body></body></html>");

export interface Point {
  step: number;
  value: number;
}

export interface Line {
  /** A CSS colour; never text from data. */
  color: string;
  dash?: string;
  opacity?: number;
  points: Point[];
}

export interface ChartOptions {
  lines: Line[];
  yLabel: string;
  /** Alternative text: what is drawn, and how it ends. */
  label: string;
  /** Values are shares, shown times 100. */
  percent?: boolean;
  /** A dotted horizontal line, in the unit of the values: for instance chance. */
  reference?: number;
}

/** A chart 440 units wide that scales to its container. */
export function lineChart({ lines, yLabel, label, percent, reference }: ChartOptions): Markup {
  const svg = Plot.plot({
    document,
    width: 440,
    height: 260,
    marginLeft: 44,
    marginTop: 28,
    marginBottom: 44,
    style: { fontSize: "12px", background: "none" },
    x: { label: "step", labelOffset: 38, ticks: 5, nice: true, tickFormat: ",d" },
    y: { label: yLabel, labelArrow: "none", grid: true, ticks: 5, ...(percent && { percent: true, zero: true }) },
    marks: [
      ...(reference === undefined ? [] : [Plot.ruleY([reference], { stroke: "currentColor", strokeDasharray: "1 4" })]),
      ...lines.map(({ points, color, dash, opacity }) =>
        Plot.lineY(points, {
          x: "step",
          y: "value",
          stroke: color,
          strokeWidth: 2,
          ...(dash && { strokeDasharray: dash }),
          ...(opacity && { strokeOpacity: opacity }),
        }),
      ),
    ],
  });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return trusted(svg.outerHTML);
}

/**
 * One line from several seeds: the steps are cut into equal buckets and everything in a bucket is averaged, which
 * smooths the noise of single batches and keeps the page small.
 */
export function average(
  runs: readonly (readonly MetricsLine[])[],
  read: (line: MetricsLine) => number | undefined,
  buckets = 60,
): Point[] {
  const raw = runs.flatMap((lines) => lines.flatMap((line) => ({ step: line.step, value: read(line) })));
  const points = raw.filter((point): point is Point => point.value !== undefined);
  if (points.length === 0) return [];
  const first = Math.min(...points.map(({ step }) => step));
  const width = Math.max(1, (Math.max(...points.map(({ step }) => step)) - first + 1) / buckets);
  const filled = new Map<number, Point[]>();
  for (const point of points) {
    const bucket = Math.floor((point.step - first) / width);
    filled.set(bucket, [...(filled.get(bucket) ?? []), point]);
  }
  const meanOf = (members: Point[], key: keyof Point) =>
    members.reduce((sum, one) => sum + one[key], 0) / members.length;
  return [...filled]
    .sort(([left], [right]) => left - right)
    .map(([, members]) => ({ step: meanOf(members, "step"), value: meanOf(members, "value") }));
}
