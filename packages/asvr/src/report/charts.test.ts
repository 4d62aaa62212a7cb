import { expect, test } from "vitest";
import type { MetricsLine } from "../runs/run-folder.js";
import { average, lineChart } from "./charts.js";

const line = (step: number, textLoss: number): MetricsLine => ({
  stage: "tuning",
  step,
  loss: textLoss,
  textLoss,
  learningRate: 1e-3,
  gradNorm: 1,
  samplesPerSecond: 1,
  elapsedSeconds: step,
  memoryBytes: 1,
});

test("few steps stay as they are, averaged over seeds", () => {
  const seeds = [
    [line(1, 4), line(2, 2)],
    [line(1, 2), line(2, 1)],
  ];
  expect(average(seeds, (metrics) => metrics.textLoss)).toEqual([
    { step: 1, value: 3 },
    { step: 2, value: 1.5 },
  ]);
});

test("many steps are averaged in equal buckets; a value that no line has gives no points", () => {
  const run = Array.from({ length: 100 }, (_, index) => line(index, index));
  const points = average([run], (metrics) => metrics.textLoss, 10);
  expect(points).toHaveLength(10);
  expect(points[0]).toEqual({ step: 4.5, value: 4.5 });
  expect(average([run], (metrics) => metrics.visionLoss)).toEqual([]);
});

test("a chart is an SVG with a name, drawn without a browser", () => {
  const lines = [
    {
      color: "var(--asvr)",
      points: [
        { step: 0, value: 1 },
        { step: 9, value: 0.5 },
      ],
    },
  ];
  const { text } = lineChart({ lines, yLabel: "loss", label: 'ends at "0.5"' });
  expect(text).toMatch(/^<svg [^>]*aria-label="ends at &quot;0\.5&quot;"/);
  expect(text).toMatch(/^<svg [^>]*role="img"/);
  expect(text).toContain("var(--asvr)");
});
