import type { Progress, TrainOptions } from "../training/trainer.js";
import type { StudySettings } from "./settings.js";

/** What a part of a study is given: where the study lies, what it is, whom to tell how far it is. */
export interface PartContext {
  folder: string;
  settings: StudySettings;
  device: string;
  signal: AbortSignal;
  onProgress: (progress: PartProgress) => void;
  /** Something that the user should read, once. */
  onNote?: (text: string) => void;
}

export interface PartProgress {
  /** What is being done, in a word or two. */
  phase: string;
  /** Share of the part's work that is done. */
  done: number;
  total: number;
  loss?: number;
  samplesPerSecond?: number;
  secondsLeft?: number;
  memoryBytes?: number;
}

/** What all trainings of a study have in common. */
export function trainOptions(
  context: PartContext,
  options: Pick<TrainOptions, "folder" | "stage" | "stageNumber" | "steps" | "learningRate" | "seed"> &
    Partial<TrainOptions>,
): TrainOptions {
  return {
    warmupRatio: 0.05,
    betas: [0.9, 0.98],
    weightDecay: 0.01,
    maxGradNorm: 1,
    logEvery: 10,
    saveEverySeconds: context.settings.saveEverySeconds,
    signal: context.signal,
    onProgress: (progress: Progress) => context.onProgress(partProgress(progress)),
    ...options,
  };
}

function partProgress({
  stage,
  step,
  steps,
  loss,
  samplesPerSecond,
  secondsLeft,
  memoryBytes,
}: Progress): PartProgress {
  return { phase: stage, done: step, total: steps, loss, samplesPerSecond, secondsLeft, memoryBytes };
}
