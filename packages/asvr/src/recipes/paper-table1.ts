/**
 * Table 1 of the paper ("Autoregressive Semantic Visual Reconstruction Helps VLMs Understand Better"), as printed:
 * Vicuna-7B, LLaVA-558K then LLaVA-1.5-665K. Scores in percent; MME is its sum divided by 28.
 * The averages are the printed ones; each is the plain mean of the 14 columns, within 0.06.
 */

/** The paper's five groups of benchmarks, in its order. */
export const paperGroups = {
  OCR: ["TextVQA", "DocVQA", "OCRBench", "ChartQA"],
  General: ["MMBench", "MME", "SEED-Image", "GQA"],
  Knowledge: ["MMMU", "AI2D"],
  "Visual-centric": ["RealWorldQA", "MMVP"],
  Hallucination: ["HallusionBench", "POPE"],
} as const;

export type PaperGroup = keyof typeof paperGroups;
export type PaperBenchmark = (typeof paperGroups)[PaperGroup][number];

export interface PaperRow {
  /** The row's name in our own tables: `llava` is the baseline, `asvr` the paper's method. */
  readonly id: string;
  readonly visualInput: "continuous" | "discrete";
  readonly supervision: "none" | "semantic" | "appearance" | "appearance+semantic";
  readonly scores: Readonly<Record<PaperBenchmark, number>>;
  readonly printedAverage: number;
}

export const paperTable1: readonly PaperRow[] = [
  {
    id: "llava-discrete",
    visualInput: "discrete",
    supervision: "none",
    scores: {
      TextVQA: 49.3,
      DocVQA: 20.0,
      OCRBench: 29.5,
      ChartQA: 12.4,
      MMBench: 60.4,
      MME: 56.9,
      "SEED-Image": 63.1,
      GQA: 56.2,
      MMMU: 31.2,
      AI2D: 50.4,
      RealWorldQA: 50.2,
      MMVP: 24.7,
      HallusionBench: 21.8,
      POPE: 80.7,
    },
    printedAverage: 43.3,
  },
  {
    id: "asvr-discrete",
    visualInput: "discrete",
    supervision: "semantic",
    scores: {
      TextVQA: 55.5,
      DocVQA: 21.4,
      OCRBench: 32.4,
      ChartQA: 14.7,
      MMBench: 62.3,
      MME: 57.7,
      "SEED-Image": 65.4,
      GQA: 57.1,
      MMMU: 32.0,
      AI2D: 53.5,
      RealWorldQA: 52.3,
      MMVP: 26.0,
      HallusionBench: 27.7,
      POPE: 76.8,
    },
    printedAverage: 45.3,
  },
  {
    id: "llava",
    visualInput: "continuous",
    supervision: "none",
    scores: {
      TextVQA: 56.0,
      DocVQA: 21.1,
      OCRBench: 31.3,
      ChartQA: 14.6,
      MMBench: 64.0,
      MME: 67.2,
      "SEED-Image": 63.8,
      GQA: 60.5,
      MMMU: 32.7,
      AI2D: 53.5,
      RealWorldQA: 52.0,
      MMVP: 28.7,
      HallusionBench: 23.9,
      POPE: 85.9,
    },
    printedAverage: 46.8,
  },
  {
    id: "appearance",
    visualInput: "continuous",
    supervision: "appearance",
    scores: {
      TextVQA: 53.7,
      DocVQA: 17.8,
      OCRBench: 30.2,
      ChartQA: 14.4,
      MMBench: 61.6,
      MME: 68.7,
      "SEED-Image": 59.5,
      GQA: 57.8,
      MMMU: 33.1,
      AI2D: 53.7,
      RealWorldQA: 49.3,
      MMVP: 22.0,
      HallusionBench: 24.0,
      POPE: 84.1,
    },
    printedAverage: 45.0,
  },
  {
    id: "dual",
    visualInput: "continuous",
    supervision: "appearance+semantic",
    scores: {
      TextVQA: 59.4,
      DocVQA: 23.7,
      OCRBench: 33.5,
      ChartQA: 16.1,
      MMBench: 65.6,
      MME: 70.2,
      "SEED-Image": 66.1,
      GQA: 61.5,
      MMMU: 34.0,
      AI2D: 56.3,
      RealWorldQA: 53.5,
      MMVP: 22.0,
      HallusionBench: 30.7,
      POPE: 86.3,
    },
    printedAverage: 48.5,
  },
  {
    id: "asvr",
    visualInput: "continuous",
    supervision: "semantic",
    scores: {
      TextVQA: 59.5,
      DocVQA: 24.3,
      OCRBench: 35.4,
      ChartQA: 16.4,
      MMBench: 66.1,
      MME: 72.8,
      "SEED-Image": 66.4,
      GQA: 61.5,
      MMMU: 33.9,
      AI2D: 57.0,
      RealWorldQA: 54.1,
      MMVP: 30.0,
      HallusionBench: 33.7,
      POPE: 86.3,
    },
    printedAverage: 49.8,
  },
];

/** The row of the paper with this id; undefined for a row that the paper does not have (a control, an equal-time baseline). */
export function paperRow(id: string): PaperRow | undefined {
  return paperTable1.find((row) => row.id === id);
}

/** Mean of each group's benchmarks, in percent, in the paper's order of groups. */
export function paperGroupMeans(row: PaperRow): Record<PaperGroup, number> {
  const means = Object.entries(paperGroups).map(([group, benchmarks]) => {
    const scores = benchmarks.map((benchmark) => row.scores[benchmark]);
    return [group, scores.reduce((sum, score) => sum + score, 0) / scores.length];
  });
  return Object.fromEntries(means) as Record<PaperGroup, number>;
}

/** The paper's difference to its baseline `llava`, in points; undefined for the baseline itself. */
export function paperDifference(row: PaperRow): number | undefined {
  const baseline = paperRow("llava");
  return !baseline || row === baseline ? undefined : row.printedAverage - baseline.printedAverage;
}
