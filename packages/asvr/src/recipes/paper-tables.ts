/**
 * The tables of the paper ("Autoregressive Semantic Visual Reconstruction Helps VLMs Understand Better") as printed, by
 * row: scores in percent in the order of `paperBenchmarks`, MME as its sum divided by 28. Averages are the printed ones;
 * each is the plain mean of the 14 columns, within 0.06.
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
export const paperBenchmarks: readonly PaperBenchmark[] = Object.values(paperGroups).flat();

export interface PaperScores {
  /** By `paperBenchmarks`. */
  scores: readonly number[];
  printedAverage: number;
}

/** Tables 6 and 7 print an operation count beside the average. */
export interface PaperCompute {
  operations: number;
  printedAverage: number;
}

export const paperTables: Readonly<Record<string, Readonly<Record<string, PaperScores>>>> = {
  table1: {
    "llava-discrete": {
      scores: [49.3, 20.0, 29.5, 12.4, 60.4, 56.9, 63.1, 56.2, 31.2, 50.4, 50.2, 24.7, 21.8, 80.7],
      printedAverage: 43.3,
    },
    "asvr-discrete": {
      scores: [55.5, 21.4, 32.4, 14.7, 62.3, 57.7, 65.4, 57.1, 32.0, 53.5, 52.3, 26.0, 27.7, 76.8],
      printedAverage: 45.3,
    },
    llava: {
      scores: [56.0, 21.1, 31.3, 14.6, 64.0, 67.2, 63.8, 60.5, 32.7, 53.5, 52.0, 28.7, 23.9, 85.9],
      printedAverage: 46.8,
    },
    appearance: {
      scores: [53.7, 17.8, 30.2, 14.4, 61.6, 68.7, 59.5, 57.8, 33.1, 53.7, 49.3, 22.0, 24.0, 84.1],
      printedAverage: 45.0,
    },
    dual: {
      scores: [59.4, 23.7, 33.5, 16.1, 65.6, 70.2, 66.1, 61.5, 34.0, 56.3, 53.5, 22.0, 30.7, 86.3],
      printedAverage: 48.5,
    },
    asvr: {
      scores: [59.5, 24.3, 35.4, 16.4, 66.1, 72.8, 66.4, 61.5, 33.9, 57.0, 54.1, 30.0, 33.7, 86.3],
      printedAverage: 49.8,
    },
  },
  table2: {
    "llava-2m": {
      scores: [61.6, 43.8, 35.4, 38.7, 68.4, 74.9, 67.9, 61.7, 40.6, 64.6, 56.1, 34.8, 36.9, 85.6],
      printedAverage: 55.1,
    },
    "asvr-2m": {
      scores: [60.6, 43.1, 36.2, 38.9, 68.6, 76.2, 68.7, 62.0, 41.4, 64.8, 55.9, 35.9, 42.2, 85.7],
      printedAverage: 55.7,
    },
    "llava-4m": {
      scores: [57.2, 44.1, 49.6, 39.2, 71.7, 71.7, 68.7, 58.2, 37.9, 70.7, 56.7, 40.0, 36.1, 85.5],
      printedAverage: 56.2,
    },
    "asvr-4m": {
      scores: [60.0, 46.5, 51.3, 41.7, 72.2, 73.2, 69.9, 59.8, 39.7, 71.8, 57.5, 42.0, 37.9, 86.9],
      printedAverage: 57.9,
    },
    "llava-mistral": {
      scores: [50.8, 15.7, 34.6, 15.2, 65.9, 66.9, 67.9, 62.4, 32.0, 53.0, 55.0, 35.3, 32.7, 86.6],
      printedAverage: 48.1,
    },
    "asvr-mistral": {
      scores: [54.9, 17.9, 34.1, 15.6, 67.1, 71.5, 68.3, 62.5, 32.6, 54.5, 55.4, 35.7, 35.0, 86.8],
      printedAverage: 49.4,
    },
    "llava-13b": {
      scores: [57.2, 22.1, 32.4, 15.1, 67.1, 68.9, 65.6, 60.4, 35.6, 54.9, 54.8, 34.0, 32.9, 86.8],
      printedAverage: 49.1,
    },
    "asvr-13b": {
      scores: [61.6, 27.3, 37.1, 18.4, 70.8, 74.9, 68.7, 62.8, 36.4, 60.0, 56.0, 35.3, 36.8, 87.5],
      printedAverage: 52.4,
    },
  },
  table3: {
    "llava-highres": {
      scores: [58.1, 44.1, 39.5, 47.5, 66.6, 74.1, 66.8, 62.0, 35.8, 62.8, 57.8, 30.0, 40.6, 84.5],
      printedAverage: 55.0,
    },
    "asvr-highres": {
      scores: [58.9, 48.9, 45.6, 49.3, 68.0, 76.7, 67.2, 62.4, 36.9, 65.4, 57.6, 31.9, 43.7, 86.5],
      printedAverage: 57.1,
    },
  },
  table4: {
    "ross-vae": {
      scores: [56.3, 39.6, 35.9, 41.0, 65.6, 71.7, 65.9, 61.6, 34.4, 65.5, 55.0, 33.3, 28.9, 85.9],
      printedAverage: 52.9,
    },
    "ross-siglip": {
      scores: [57.5, 40.2, 37.4, 42.5, 67.0, 70.5, 66.2, 62.1, 34.9, 64.6, 55.7, 30.1, 31.2, 85.8],
      printedAverage: 53.3,
    },
    "asvr-next": {
      scores: [58.6, 40.6, 39.7, 43.4, 67.9, 73.0, 67.5, 62.9, 34.2, 65.8, 55.4, 36.8, 39.2, 85.9],
      printedAverage: 55.1,
    },
  },
  table8: {
    "tokenizer-3m": {
      scores: [57.8, 25.4, 33.1, 16.2, 67.2, 70.3, 64.8, 60.0, 31.8, 55.9, 54.3, 24.7, 33.0, 86.1],
      printedAverage: 48.6,
    },
    "it-only": {
      scores: [55.3, 18.9, 29.5, 14.0, 61.2, 67.8, 60.5, 58.3, 33.4, 52.6, 52.3, 20.8, 30.0, 84.9],
      printedAverage: 45.7,
    },
    asvr: {
      scores: [59.5, 24.3, 35.4, 16.4, 66.1, 72.8, 66.4, 61.5, 33.9, 57.0, 54.1, 30.0, 33.7, 86.3],
      printedAverage: 49.8,
    },
  },
  table9: {
    "llava-siglip": {
      scores: [57.7, 40.7, 37.9, 42.6, 67.4, 71.5, 67.2, 61.8, 34.3, 65.3, 54.6, 32.8, 33.1, 86.4],
      printedAverage: 53.8,
    },
    "asvr-siglip": {
      scores: [58.6, 40.6, 39.7, 43.4, 67.9, 73.0, 67.5, 62.9, 34.2, 65.8, 55.4, 36.8, 39.2, 85.9],
      printedAverage: 55.1,
    },
    "llava-siglip2": {
      scores: [59.2, 41.8, 40.5, 46.3, 66.9, 74.0, 68.3, 62.7, 34.7, 66.4, 56.9, 33.3, 35.1, 86.1],
      printedAverage: 55.2,
    },
    "asvr-siglip2": {
      scores: [61.0, 43.7, 44.8, 49.9, 70.2, 76.8, 69.5, 63.4, 36.3, 67.3, 56.7, 42.0, 35.8, 86.8],
      printedAverage: 57.4,
    },
  },
  table10: {
    none: {
      scores: [58.1, 44.1, 39.5, 47.5, 66.6, 74.1, 66.8, 62.0, 35.8, 62.8, 57.8, 30.0, 40.6, 84.5],
      printedAverage: 55.0,
    },
    "vq-dinov3": {
      scores: [58.0, 46.2, 45.0, 43.0, 66.2, 75.2, 68.0, 61.8, 36.0, 65.2, 57.5, 31.8, 37.9, 87.4],
      printedAverage: 55.6,
    },
    "vq-depth-anything": {
      scores: [52.8, 40.7, 38.6, 42.2, 67.2, 75.9, 67.2, 62.2, 32.0, 59.8, 58.0, 30.3, 40.7, 84.6],
      printedAverage: 53.7,
    },
  },
};

export const paperCompute: Readonly<Record<string, Readonly<Record<string, PaperCompute>>>> = {
  table6: {
    "665k": { operations: 1.53e19, printedAverage: 49.8 },
    "779k": { operations: 2.49e19, printedAverage: 55.1 },
    "2m": { operations: 4.52e19, printedAverage: 55.7 },
    "4m": { operations: 7.51e19, printedAverage: 57.9 },
  },
  table7: {
    "7b": { operations: 1.53e19, printedAverage: 49.8 },
    "13b": { operations: 2.58e19, printedAverage: 52.4 },
  },
};

/** A row as printed; undefined for one that the paper does not have (a control, an equal-time baseline). */
export function paperRow(table: string, row: string): PaperScores | undefined {
  return paperTables[table]?.[row];
}

/** Mean of each group's benchmarks, in percent, in the paper's order of groups. */
export function paperGroupMeans({ scores }: PaperScores): Record<PaperGroup, number> {
  const means = Object.entries(paperGroups).map(([group, benchmarks]) => {
    const of = benchmarks.map((benchmark) => scores[paperBenchmarks.indexOf(benchmark)]!);
    return [group, of.reduce((sum, score) => sum + score, 0) / of.length];
  });
  return Object.fromEntries(means) as Record<PaperGroup, number>;
}
