import type { nn, Tensor } from "@asvr/torch";
import type { GradientSink } from "../layers/gradient-sink.js";

/**
 * What one micro-batch gives: the loss to minimise, already divided by the counts of the whole step, and its parts.
 * `Metrics` has the names of the parts, as they are logged.
 */
export interface StepLosses<Metrics extends object = Record<string, unknown>> {
  total: Tensor;
  /** Scalars or vectors that add up over the micro-batches of a step; read only when the step is logged. */
  metrics: { readonly [Name in keyof Metrics]: Tensor };
}

/** Counts of a step by name. They add up: over micro-batches, and over whoever shares a step. */
export type StepCounts = Readonly<Record<string, number>>;

/**
 * Something that can be trained: an encoder, a tokenizer, a language model, a vision-language model. The trainer knows
 * nothing else of it, so all of them are trained, checkpointed, resumed and shown by the same code.
 */
export interface Objective<Batch, Counts extends StepCounts = StepCounts> {
  /** Everything that the run changes, by name: the state of a checkpoint. */
  readonly modules: Readonly<Record<string, nn.Module>>;
  /** What the optimizer moves. */
  trainable(): Iterable<readonly [string, Tensor]>;
  /** The micro-batches of a step, in host memory: a pure function of the step's number, so that a run can resume. */
  batches(step: number): Batch[] | Promise<Batch[]>;
  /** What the losses of a step are divided by, over all its micro-batches: asked before the first of them. */
  counts(batches: readonly Batch[]): Counts;
  /**
   * The losses of a micro-batch, divided by the counts of its step. Called in a scope. No gradient is written: they come
   * by `backward`.
   */
  losses(batch: Batch, counts: Counts): StepLosses;
  /** `losses`, forward and backward in one: their gradients are added to `into`. Called in a scope, with gradients on. */
  accumulate(batch: Batch, counts: Counts, into: GradientSink): StepLosses;
  /** After the optimizer's step: what learns without gradients (a codebook's running means). */
  afterStep?(step: number): void;
  /** Names the samples of a batch, for the message when the loss is not finite. */
  describe(batch: Batch): string;
  readonly samplesPerStep: number;
}

/** Forward and backward through the history of losses: `accumulate` where gradients need not be taken any earlier. */
export function accumulateLosses<Losses extends StepLosses>(losses: Losses, into: GradientSink): Losses {
  // A loss without gradient: what is trained learns by running averages alone.
  if (losses.total.requiresGrad) into.backward(losses.total);
  return losses;
}
