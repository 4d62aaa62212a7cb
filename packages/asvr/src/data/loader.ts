import { ConfigError } from "../errors.js";
import { Random } from "../random.js";
import type { Sample } from "./samples.js";

export interface SamplerOptions {
  /** How many items there are. */
  itemCount: number;
  /** Items of an optimizer step, over all ranks and micro-batches. */
  batchSize: number;
  seed: number;
  /** false: the order of the list, in every epoch. */
  shuffle?: boolean;
}

/**
 * Which items a step trains on: a pure function of (options, step). So a resumed run needs the step's number alone,
 * and any worker or rank can work out any step. Every epoch visits each item once, in an order of its own; a batch may
 * reach from one epoch into the next, so that all are full.
 */
export class Sampler {
  readonly #options: SamplerOptions;
  #epoch = -1; // whose order is kept
  #order: readonly number[] = [];

  /** @throws ConfigError when there are no items, or no whole number of them in a batch */
  constructor(options: SamplerOptions) {
    for (const name of ["itemCount", "batchSize"] as const) {
      if (Number.isInteger(options[name]) && options[name] > 0) continue;
      throw new ConfigError(`Sampler: ${name} is ${options[name]}; it must be a whole number over 0.`);
    }
    this.#options = options;
  }

  /** Steps that visit every item `epochs` times; the last one reaches over if they do not divide. */
  stepsIn(epochs: number): number {
    return Math.ceil((epochs * this.#options.itemCount) / this.#options.batchSize);
  }

  /** The items of a step, counted from 0, each with the epoch it is visited in. */
  at(step: number): { item: number; epoch: number }[] {
    const { itemCount, batchSize } = this.#options;
    return Array.from({ length: batchSize }, (_, place) => {
      const visit = step * batchSize + place;
      const epoch = Math.floor(visit / itemCount);
      return { item: this.#orderOf(epoch)[visit % itemCount]!, epoch };
    });
  }

  #orderOf(epoch: number): readonly number[] {
    if (epoch === this.#epoch) return this.#order;
    const { itemCount, seed, shuffle = true } = this.#options;
    const items = Array.from({ length: itemCount }, (_, item) => item);
    this.#order = shuffle ? new Random(seed).fork("order").fork(epoch).shuffle(items) : items;
    this.#epoch = epoch;
    return this.#order;
  }
}

/**
 * Places of the samples that show one picture, in order of the first; a text-only sample is a group of its own. With
 * groups as a sampler's items, packing finds the samples that share a picture in one batch.
 */
export function groupByImage(samples: readonly Sample[]): number[][] {
  const groups = new Map<string, number[]>();
  const ordered: number[][] = [];
  for (const [index, { image }] of samples.entries()) {
    const known = image && groups.get(image.key);
    if (known) {
      known.push(index);
      continue;
    }
    const group = [index];
    ordered.push(group);
    if (image) groups.set(image.key, group);
  }
  return ordered;
}

/**
 * At most `count` members of a group, another choice in every epoch: a window that moves over a shuffled group, so that
 * each member has its turn equally often.
 * @param item the group's number
 */
export function chooseMembers(
  group: readonly number[],
  { item, epoch, count, seed }: { item: number; epoch: number; count: number; seed: number },
): number[] {
  if (group.length <= count) return [...group];
  const shuffled = new Random(seed).fork("members").fork(item).shuffle(group);
  return Array.from({ length: count }, (_, place) => shuffled[(epoch * count + place) % group.length]!);
}
