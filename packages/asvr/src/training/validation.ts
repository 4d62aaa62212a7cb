import { type nn, noGrad, tidy } from "@asvr/torch";
import { type LoggedMetrics, MetricTotals } from "./metric-totals.js";
import type { Objective, StepCounts } from "./objective.js";
import { randomStates, setRandomStates } from "./random-state.js";

/** What is measured between the steps of a training. */
export interface Validation {
  /** Steps from one to the next; the last step of a stage is always followed by one. */
  every: number;
  /**
   * Measures, and returns what is logged under `validation`. `heldOutLosses` is the usual one.
   * @param step steps of this stage that are done
   */
  run: (step: number) => LoggedMetrics | Promise<LoggedMetrics>;
}

/**
 * The losses of held-out micro-batches, divided by the counts of all of them as if they were one step. Nothing learns.
 * @param objective an objective over the held-out data, of the model that is trained
 */
export function heldOutLosses<Batch, Counts extends StepCounts>(
  objective: Pick<Objective<Batch, Counts>, "counts" | "losses">,
  batches: readonly Batch[],
): LoggedMetrics {
  const counts = objective.counts(batches);
  return noGrad(() =>
    tidy(() => {
      using totals = new MetricTotals();
      for (const batch of batches) {
        tidy(() => {
          const { total, metrics } = objective.losses(batch, counts);
          totals.add({ loss: total, ...metrics });
        });
      }
      return totals.read();
    }),
  );
}

/** Runs `body` and takes libtorch's generators back to where they were: what follows draws as if `body` had not run. */
export async function withoutDraws<T>(
  modules: Readonly<Record<string, nn.Module>>,
  body: () => T | Promise<T>,
): Promise<T> {
  const before = randomStates(modules);
  try {
    return await body();
  } finally {
    setRandomStates(modules, before);
    for (const state of before.values()) state.dispose();
  }
}
