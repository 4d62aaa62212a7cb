import { mkdir } from "node:fs/promises";
import { CheckpointError, keep, manualSeed, optim, type Tensor, tidy } from "@asvr/torch";
import { NonFiniteError } from "../errors.js";
import { allOrNone, gradField } from "../layers/gradient-sink.js";
import { latestCheckpoint, loadTraining, type Position, saveCheckpoint } from "./checkpoint.js";
import { MetricsLog, requireFolder } from "./metrics.js";
import type { Objective, StepCounts } from "./objective.js";

export interface TrainOptions {
  /** Run folder: `checkpoints/` and `metrics.jsonl` go there. */
  folder: string;
  stage: string;
  /** Of the stages of a run: 0 is the first. */
  stageNumber: number;
  steps: number;
  /** Steps of the stages before this one, for a count over all of them; 0 where left out. */
  stepsBefore?: number;
  learningRate: number;
  /** Share of the steps in which the learning rate rises; then a cosine to 0. */
  warmupRatio: number;
  betas: readonly [number, number];
  weightDecay: number;
  maxGradNorm: number;
  /** Seeds libtorch's generator at the first step of the stage. */
  seed: number;
  logEvery: number;
  saveEverySeconds: number;
  onProgress?: (progress: Progress) => void;
  /** When it fires, the state is saved and `Interrupted` is thrown. */
  signal?: AbortSignal;
}

export interface Progress {
  stage: string;
  step: number;
  steps: number;
  loss: number;
  metrics: Readonly<Record<string, number | number[]>>;
  samplesPerSecond: number;
  secondsLeft: number;
  memoryBytes: number;
}

/** Training was asked to stop; everything up to here is saved, and the same call goes on from it. */
export class Interrupted extends Error {
  override name = "Interrupted";
}

/** Whether an error says that someone stopped the work, not that it failed: training, or a loop that asks its signal. */
export function isInterruption(error: unknown): boolean {
  return error instanceof Interrupted || (error instanceof Error && error.name === "AbortError");
}

/**
 * Trains one stage, from its newest checkpoint where there is one. A resumed run makes the same steps as an unbroken
 * one, to the bit, on the same machine, libtorch and number of threads: batches depend on the step's number alone, and
 * a checkpoint holds weights, optimizer and random state.
 * @returns seconds of training, over all processes that worked on this stage
 * @throws Interrupted, NonFiniteError, CheckpointError
 */
export async function train<Batch, Counts extends StepCounts>(
  objective: Objective<Batch, Counts>,
  options: TrainOptions,
): Promise<number> {
  const { folder, stage, steps, signal } = options;
  await mkdir(folder, { recursive: true });
  const { betas, weightDecay } = options;
  using optimizer = new optim.AdamW(objective.trainable(), { betas, weightDecay });
  const trained = { modules: objective.modules, optimizer };

  manualSeed(options.seed);
  const saved = await latestCheckpoint(folder);
  const position: Position = { stage, stageNumber: options.stageNumber, step: 0, seconds: 0 };
  if (saved?.stage === stage) {
    requireFits(saved, options);
    await loadTraining(saved.path, trained);
    Object.assign(position, { step: saved.step, seconds: saved.seconds });
  }
  const learningRateOf = optim.cosineWithWarmup({
    learningRate: options.learningRate,
    totalSteps: steps,
    warmupRatio: options.warmupRatio,
  });
  const log = await MetricsLog.open(folder, position);
  const parameters = Array.from(objective.trainable(), ([, parameter]) => parameter);
  let lastSave = performance.now();
  let savedStep = saved?.stage === stage ? position.step : -1;
  const save = async () => {
    requireFolder(folder);
    await log.sync();
    await saveCheckpoint(folder, position, trained);
    savedStep = position.step;
    lastSave = performance.now();
  };

  while (position.step < steps) {
    const started = performance.now();
    const step = position.step;
    const batches = await objective.batches(step);
    // Over all micro-batches, before the first: how a step is split changes nothing but memory.
    const counts = objective.counts(batches);
    const learningRate = learningRateOf(step);
    const logged = step % options.logEvery === 0 || step === steps - 1;
    let gradNorm = 0;
    const makeStep = () => {
      optimizer.zeroGrad();
      using totals = new MetricTotals();
      for (const batch of batches) {
        tidy(() => {
          const { total, metrics } = objective.accumulate(batch, counts, gradField);
          totals.add({ loss: total, ...metrics });
        });
      }
      gradNorm = optim.clipGradNorm(parameters, options.maxGradNorm);
      if (!Number.isFinite(gradNorm)) throw nonFinite(objective, step, gradNorm, totals.read(), batches);
      optimizer.step(learningRate);
      objective.afterStep?.(step);
      return logged ? totals.read() : undefined;
    };
    const metrics = allOrNone(gradField, parameters, () => tidy(makeStep));
    position.step = step + 1;
    const seconds = (performance.now() - started) / 1000;
    position.seconds += seconds;
    if (metrics) {
      const { loss, ...parts } = metrics;
      const samplesPerSecond = (objective.samplesPerStep * position.step) / position.seconds;
      const memoryBytes = process.memoryUsage.rss();
      await log.write({
        stage,
        step,
        globalStep: (options.stepsBefore ?? 0) + step,
        loss,
        ...parts,
        learningRate,
        gradNorm,
        samplesPerSecond: round(samplesPerSecond),
        elapsedSeconds: round(position.seconds),
        memoryBytes,
      });
      options.onProgress?.({
        stage,
        step: position.step,
        steps,
        loss: loss as number,
        metrics: parts,
        samplesPerSecond,
        secondsLeft: (position.seconds / position.step) * (steps - position.step),
        memoryBytes,
      });
    }
    // Lets signals and messages in: the step itself never yields.
    await new Promise(setImmediate);
    if (signal?.aborted) {
      await save();
      throw new Interrupted(`stopped at step ${position.step} of ${steps}; the same command goes on from here`);
    }
    if (performance.now() - lastSave > options.saveEverySeconds * 1000) await save();
  }
  if (savedStep !== position.step) await save();
  optimizer.zeroGrad();
  return position.seconds;
}

/** @throws CheckpointError for a position that this stage can't have: the training would end there without a step */
function requireFits(saved: Position & { path: string }, { stage, stageNumber, steps }: TrainOptions): void {
  if (saved.stageNumber === stageNumber && saved.step <= steps) return;
  throw new CheckpointError(
    `${saved.path} is of step ${saved.step} of stage ${saved.stageNumber} (${stage}), but this is stage ${stageNumber} ` +
      `with ${steps} steps. It belongs to another run or was changed: delete it to go on from the one before it.`,
  );
}

/** Adds up what micro-batches report, without waiting for the device until it is read. */
class MetricTotals {
  readonly #sums = new Map<string, Tensor>();

  add(metrics: Readonly<Record<string, Tensor>>): void {
    for (const [name, value] of Object.entries(metrics)) {
      const before = this.#sums.get(name);
      if (before) before.add_(value.detach());
      else this.#sums.set(name, keep(value.detach().clone()));
    }
  }

  [Symbol.dispose](): void {
    for (const sum of this.#sums.values()) sum.dispose();
  }

  read(): Record<string, number | number[]> {
    return Object.fromEntries(
      Array.from(this.#sums, ([name, sum]) => [name, sum.shape.length === 0 ? sum.item() : sum.toNumbers()]),
    );
  }
}

function nonFinite<Batch>(
  objective: Pick<Objective<Batch>, "describe">,
  step: number,
  gradNorm: number,
  metrics: Record<string, number | number[]>,
  batches: readonly Batch[],
): NonFiniteError {
  return new NonFiniteError(
    `step ${step}: the gradient's norm is ${gradNorm}, with ${JSON.stringify(metrics)}, on ${batches.map((batch) => objective.describe(batch)).join("; ")}. ` +
      "A lower learning rate or a longer warm-up is the usual remedy; the newest checkpoint is from before this step.",
  );
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
