import { mkdir } from "node:fs/promises";
import { CheckpointError, manualSeed, optim, tidy } from "@asvr/torch";
import { NonFiniteError } from "../errors.js";
import { allOrNone, gradField } from "../layers/gradient-sink.js";
import { latestCheckpoint, loadTraining, type Position, saveCheckpoint } from "./checkpoint.js";
import { type GroupSettings, parameterGroups } from "./groups.js";
import { type LoggedMetrics, MetricTotals } from "./metric-totals.js";
import { MetricsLog, requireFolder } from "./metrics.js";
import type { Objective, StepCounts } from "./objective.js";
import { type Validation, withoutDraws } from "./validation.js";

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
  /** The learning rate of a step, counted from 0, in the place of that rise and cosine. */
  schedule?: (step: number) => number;
  betas: readonly [number, number];
  weightDecay: number;
  /** Parts with a learning rate or weight decay of their own: `parameterGroups`. */
  groups?: Readonly<Record<string, GroupSettings>>;
  maxGradNorm: number;
  /** Measures between steps; it leaves libtorch's generator as it finds it. */
  evaluate?: Validation;
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
  metrics: LoggedMetrics;
  /** Of `evaluate`, where it was due. */
  validation?: LoggedMetrics;
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
  const { betas, weightDecay, evaluate } = options;
  using optimizer = new optim.AdamW(
    parameterGroups(objective.trainable(), options.groups ?? {}, options.learningRate),
    { betas, weightDecay },
  );
  const trained = { modules: objective.modules, optimizer };

  manualSeed(options.seed);
  const saved = await latestCheckpoint(folder);
  const position: Position = { stage, stageNumber: options.stageNumber, step: 0, seconds: 0 };
  if (saved?.stage === stage) {
    requireFits(saved, options);
    await loadTraining(saved.path, trained);
    Object.assign(position, { step: saved.step, seconds: saved.seconds });
  }
  const { learningRate: highest, warmupRatio } = options;
  const schedule =
    options.schedule ?? optim.cosineWithWarmup({ learningRate: highest, totalSteps: steps, warmupRatio });
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
    const learningRate = schedule(step);
    const isLast = step === steps - 1;
    const isEvaluated = evaluate !== undefined && ((step + 1) % evaluate.every === 0 || isLast);
    const logged = step % options.logEvery === 0 || isLast || isEvaluated;
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
      const validation = isEvaluated
        ? { validation: await withoutDraws(objective.modules, () => evaluate.run(position.step)) }
        : {};
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
        ...validation,
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
        ...validation,
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

function nonFinite<Batch>(
  objective: Pick<Objective<Batch>, "describe">,
  step: number,
  gradNorm: number,
  metrics: LoggedMetrics,
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
