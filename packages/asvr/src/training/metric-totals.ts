import { keep, type Tensor } from "@asvr/torch";

/** Numbers by name, or one number for each depth, as they are logged. */
export type LoggedMetrics = Readonly<Record<string, number | number[]>>;

/** Adds up what micro-batches report, without waiting for the device until it is read. */
export class MetricTotals {
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

  read(): LoggedMetrics {
    return Object.fromEntries(
      Array.from(this.#sums, ([name, sum]) => [name, sum.shape.length === 0 ? sum.item() : sum.toNumbers()]),
    );
  }
}
