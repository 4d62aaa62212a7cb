import type { nn, Tensor } from "@asvr/torch";

/**
 * What one micro-batch gives: the loss to minimise, already divided by the counts of the whole step, and its parts.
 * `Metrics` has the names of the parts, as they are logged.
 */
export interface StepLosses<Metrics extends object = Record<string, unknown>> {
  total: Tensor;
  /** Scalars or vectors that add up over the micro-batches of a step; read only when the step is logged. */
  metrics: { readonly [Name in keyof Metrics]: Tensor };
}

/**
 * Something that can be trained: an encoder, a tokenizer, a language model, a vision-language model. The trainer knows
 * nothing else of it, so all of them are trained, checkpointed, resumed and shown by the same code.
 */
export interface Objective<Batch> {
  /** Everything that the run changes, by name: the state of a checkpoint. */
  readonly modules: Readonly<Record<string, nn.Module>>;
  /** What the optimizer moves. */
  trainable(): Iterable<readonly [string, Tensor]>;
  /** The micro-batches of a step, in host memory: a pure function of the step's number, so that a run can resume. */
  batches(step: number): Batch[] | Promise<Batch[]>;
  /** Called in a scope, with gradients on. `all` are the micro-batches of the step, for its counts. */
  losses(batch: Batch, all: readonly Batch[]): StepLosses;
  /** After the optimizer's step: what learns without gradients (a codebook's running means). */
  afterStep?(step: number): void;
  /** Names the samples of a batch, for the message when the loss is not finite. */
  describe(batch: Batch): string;
  readonly samplesPerStep: number;
}
