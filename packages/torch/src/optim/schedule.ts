/** A run of `totalSteps` steps, with the warm-up in steps or as a share of them. */
export type CosineOptions = {
  /** The highest learning rate. */
  readonly learningRate: number;
  /** Steps of the whole run, warm-up included. */
  readonly totalSteps: number;
} & ({ readonly warmupSteps: number } | { readonly warmupRatio: number });

/**
 * The learning rate of a step: it grows linearly from 0 at step 0 and reaches `learningRate` at step `warmupSteps`
 * (for a ratio, that part of all steps, rounded up), then falls along half a cosine to 0 at step `totalSteps`, which is
 * one after the last. The same as `get_cosine_schedule_with_warmup` of Hugging Face's transformers.
 * @returns the learning rate of `step`, counted from 0
 */
export function cosineWithWarmup(options: CosineOptions): (step: number) => number {
  const { learningRate, totalSteps } = options;
  const warmup = "warmupSteps" in options ? options.warmupSteps : Math.ceil(totalSteps * options.warmupRatio);
  return (step) => {
    if (step < warmup) return learningRate * (step / Math.max(1, warmup));
    const progress = (step - warmup) / Math.max(1, totalSteps - warmup);
    return learningRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
  };
}
