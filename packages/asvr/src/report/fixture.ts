/** A small synthetic run folder for tests: made-up numbers in the files that a study writes. */
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { Random } from "../random.js";
import type {
  AttentionSample,
  MetricsLine,
  Prediction,
  ResidualCodes,
  SeedResult,
  Split,
  Study,
  StudyRow,
  TokenizerSummary,
  WorldManifest,
} from "../runs/run-folder.js";

export interface FixtureRow extends Partial<StudyRow> {
  id: string;
  /** Probability of a right answer. */
  skill: number;
}

export interface FixtureOptions {
  rows?: FixtureRow[];
  seeds?: number[];
  images?: number;
  novel?: boolean;
  /** Asked of every picture, to try out text that is not meant to be trusted. */
  question?: string;
}

const questionTypes: WorldManifest["questionTypes"] = {
  digit: { group: "ocr", majorityShare: 0.13, blindShare: 0.13 },
  object: { group: "general", majorityShare: 0.03, blindShare: 0.03 },
  background: { group: "general", majorityShare: 0.2, blindShare: 0.2 },
  kind: { group: "knowledge", majorityShare: 0.18, blindShare: 0.18 },
  color: { group: "visual-centric", majorityShare: 0.19, blindShare: 0.2 },
  count: { group: "visual-centric", majorityShare: 0.42, blindShare: 0.43 },
  presence: { group: "hallucination", majorityShare: 0.52, blindShare: 0.55 },
};

export const standardRows: FixtureRow[] = [
  { id: "llava", title: "LLaVA", supervision: "none", alignment: "none", skill: 0.47 },
  { id: "asvr", title: "ASVR", supervision: "semantic", alignment: "same", skill: 0.56 },
  { id: "appearance", title: "Appearance codes", supervision: "appearance", alignment: "same", skill: 0.55 },
];

/** Writes the folder below the system's temporary folder and returns its path. */
export async function makeRunFolder(options: FixtureOptions = {}): Promise<string> {
  const { rows = standardRows, seeds = [0], images = 40, novel = true, question } = options;
  const folder = await mkdtemp(path.join(tmpdir(), "asvr-report-"));
  const studyRows = rows.map(
    ({ skill: _, ...row }): StudyRow => ({
      title: row.id,
      supervision: "none",
      alignment: "none",
      visualInput: "continuous",
      seeds,
      steps: { pretraining: 200, tuning: 800 },
      ...row,
    }),
  );
  await writeJson(folder, "study.json", studyOf(studyRows, seeds));
  await writeJson(folder, "data/manifest.json", manifest);
  await writeJson(folder, "tokenizers/summary.json", tokenizers);
  for (let index = 0; index < images; index++) await writePicture(folder, pictureName(index), index, 56);
  for (let index = 0; index < 3; index++) await writePicture(folder, `tokenizers/rebuilt-${index}.png`, index, 8);
  for (const { id, skill, supervision } of rows) {
    for (const seed of seeds) {
      const random = new Random(`${id}-${seed}`);
      const run = `${id}-s${seed}`;
      const visual = supervision !== undefined && supervision !== "none";
      await writeJson(folder, `${run}/recipe.json`, { name: `table1/${id}` });
      await writeJson(folder, `${run}/result.json`, resultOf(visual));
      await writeLines(folder, `${run}/metrics.jsonl`, metricsOf(random, visual));
      for (const split of ["test-seen", ...(novel ? ["test-novel"] : [])] as Split[]) {
        const level = split === "test-novel" ? skill - 0.08 : skill;
        const predictions = predictionsOf(random, split, images, level, question);
        await writeLines(folder, `${run}/evaluation/${split}/predictions.jsonl`, predictions);
      }
      await writeJson(folder, `${run}/attention.json`, attentionOf(random, question));
    }
  }
  return folder;
}

function studyOf(rows: StudyRow[], seeds: number[]): Study {
  return {
    table: "table1",
    scale: "micro",
    command: "asvr reproduce table1 --scale micro --out runs/demo",
    startedAt: "2026-01-05T10:00:00.000Z",
    finishedAt: "2026-01-05T10:07:31.000Z",
    revision: "0123abc",
    versions: { asvr: "0.1.0", node: "20.19.0", libtorch: "2.9.0" },
    machine: { cpu: "Example CPU @ 2.0 GHz", cores: 2, threads: 2, platform: "linux x64" },
    seeds,
    rows,
    parts: [
      { name: "data", seconds: 14.2, detail: "15,000 scenes of 56 x 56 pixels" },
      { name: "encoder", seconds: 108 },
      { name: "tokenizers", seconds: 27 },
      { name: "text-lm", seconds: 98, detail: "600 steps" },
      { name: "codes", seconds: 9.8 },
      ...rows.flatMap(({ id }) => seeds.map((seed) => ({ name: `${id}-s${seed}`, seconds: id === "llava" ? 58 : 84 }))),
      { name: "evaluation", seconds: 21 },
    ],
  };
}

const manifest: WorldManifest = {
  provenance:
    "The drawings, photographs and handwritten digits are real; the program composes the scenes, questions and answers.",
  questionTypes,
  licences: [
    {
      package: "@iconify-json/noto",
      version: "1.2.9",
      licence: "Apache-2.0",
      usedFor: "drawings",
      attribution: "Google Noto Emoji",
    },
    {
      package: "@iconify-json/twemoji",
      version: "1.2.5",
      licence: "CC-BY-4.0",
      usedFor: "drawings",
      attribution: "Twemoji, by Twitter and contributors",
    },
    {
      package: "mnist",
      version: "1.1.0",
      licence: "MIT",
      usedFor: "handwritten digits",
      attribution: "LeCun, Cortes and Burges",
    },
  ],
};

const codes: ResidualCodes = {
  codebookSize: 256,
  depth: 4,
  usedCodes: [245, 231, 222, 208],
  relativeError: [0.41, 0.26, 0.18, 0.131],
};

const tokenizers: TokenizerSummary = {
  semantic: codes,
  appearance: { ...codes, usedCodes: [256, 251, 249, 240], relativeError: [0.3, 0.19, 0.14, 0.11], psnr: 17.2 },
  reconstructions: [0, 1, 2].map((index) => ({
    original: pictureName(index),
    appearance: `tokenizers/rebuilt-${index}.png`,
  })),
  probes: [
    { what: "thing in a cell", majority: 0.04, features: 0.76, semantic: 0.63, appearance: 0.44 },
    { what: "first code", majority: 0.02, semantic: 0.81, appearance: 0.33 },
  ],
};

function resultOf(visual: boolean): SeedResult {
  return {
    seconds: { pretraining: visual ? 18.4 : 13.1, tuning: visual ? 66 : 45, evaluation: 7 },
    parameters: { encoder: 890_000, projector: 33_000, language: 610_000, ...(visual && { visualHead: 320_000 }) },
    peakMemoryBytes: 1.03e9,
  };
}

function metricsOf(random: Random, visual: boolean): MetricsLine[] {
  return (["pretraining", "tuning"] as const).flatMap((stage) =>
    Array.from({ length: stage === "tuning" ? 80 : 20 }, (_, index): MetricsLine => {
      const progress = 1 - Math.exp(-index / 25);
      const textLoss = (stage === "tuning" ? 2.1 : 3.4) - 1.1 * progress + 0.15 * random.uniform();
      const visionLoss = 5.5 - 3 * progress + 0.1 * random.uniform();
      const codeAccuracy = [0.62, 0.4, 0.24, 0.13].map((end) => end * progress);
      return {
        stage,
        step: 10 * (index + 1),
        loss: textLoss + (visual ? visionLoss : 0),
        textLoss,
        ...(visual && { visionLoss, codeAccuracy }),
        learningRate: 2e-3 * (1 - progress),
        gradNorm: 0.8,
        samplesPerSecond: visual ? 200 : 290,
        elapsedSeconds: index * 0.8,
        memoryBytes: 9.7e8,
      };
    }),
  );
}

function predictionsOf(random: Random, split: Split, images: number, skill: number, question?: string): Prediction[] {
  return Array.from({ length: images }, (_, image) =>
    Object.entries(questionTypes)
      .filter(([type]) => split === "test-seen" || (type !== "digit" && type !== "background"))
      .map(([type, { group }]): Prediction => {
        const correct = random.uniform() < skill + 0.1 * Math.sin(type.length + image);
        const answer = type === "color" ? "blue" : "dog";
        return {
          id: `${split}-${image}-${type}`,
          image: pictureName(image),
          type,
          group,
          question: question ?? `${type} at top-left ?`,
          answer,
          prediction: correct ? answer : "cat",
          correct,
        };
      }),
  ).flat();
}

function attentionOf(random: Random, question = "what at top-left ?"): AttentionSample[] {
  const values = () => Array.from({ length: 16 }, () => 0.06 * random.uniform() ** 2);
  return [0, 1].map((index) => ({
    id: `q${index}`,
    image: pictureName(index),
    question,
    answer: "dog",
    prediction: index === 0 ? "dog" : "cat",
    grid: [4, 4],
    attention: values(),
    byLayer: [values(), values(), values()],
  }));
}

function pictureName(index: number): string {
  return `data/images/${String(index).padStart(4, "0")}.png`;
}

async function writePicture(folder: string, name: string, seed: number, side: number): Promise<void> {
  const random = new Random(seed);
  const base = [0, 1, 2].map(() => random.int(160));
  const pixels = Buffer.from(
    Array.from({ length: side * side }, (_, index) => {
      const [x, y] = [(index % side) / side, Math.floor(index / side) / side];
      const inside = Math.hypot(x - 0.25 - 0.5 * (seed % 2), y - 0.3) < 0.2;
      return base.map((value, channel) => (inside ? 235 - 60 * ((channel + seed) % 3) : value + 60 * y + 20 * x));
    }).flat(),
  );
  const file = path.join(folder, name);
  await mkdir(path.dirname(file), { recursive: true });
  await sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toFile(file);
}

async function writeJson(folder: string, name: string, value: unknown): Promise<void> {
  const file = path.join(folder, name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify(value));
}

function writeLines(folder: string, name: string, values: readonly unknown[]): Promise<void> {
  const file = path.join(folder, name);
  const text = values.map((value) => `${JSON.stringify(value)}\n`).join("");
  return mkdir(path.dirname(file), { recursive: true }).then(() => writeFile(file, text));
}
