import { CheckpointError } from "../errors.js";
import * as F from "../operators.generated.js";
import { keep, noGrad, tidy } from "../scope.js";
import type { Tensor } from "../tensor.js";

/** Parameters under the names that the state has in a checkpoint: `network.namedParameters()`. */
export type NamedParameters = Iterable<readonly [name: string, parameter: Tensor]>;

/** Parameters with settings of their own. */
export interface ParameterGroup {
  readonly parameters: NamedParameters;
  /** Default: the optimizer's. */
  readonly weightDecay?: number;
  /** The group's learning rate is this times the one given to `step`. Default 1. */
  readonly learningRateScale?: number;
}

/** What all groups of an optimizer share. */
export interface AdamWOptions {
  /** Decay of the running means of the gradient and of its square. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second mean. Default 1e-8. */
  readonly epsilon?: number;
  /** Decoupled from the gradient: parameters shrink by learningRate · weightDecay a step. Default 0.01, as PyTorch's. */
  readonly weightDecay?: number;
}

const moments = ["exp_avg", "exp_avg_sq", "step"] as const;
type State = Readonly<Record<(typeof moments)[number], Tensor>>;

interface Slot {
  readonly name: string;
  readonly parameter: Tensor;
  state: State | undefined;
}

/** Parameters that one fused call updates: the same settings, dtype and device. */
interface Bucket {
  readonly weightDecay: number;
  readonly learningRateScale: number;
  readonly slots: Slot[];
}

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter, 2019), one fused kernel call a group. The optimizer does not
 * own the parameters; its state has their dtype and device and is made at a parameter's first gradient.
 * @throws TypeError when two parameters have one name, or one tensor is given twice
 */
export class AdamW {
  readonly #buckets: Bucket[] = [];
  readonly #betas: readonly [number, number];
  readonly #epsilon: number;

  constructor(
    parameters: NamedParameters | readonly ParameterGroup[],
    { betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0.01 }: AdamWOptions = {},
  ) {
    this.#betas = betas;
    this.#epsilon = epsilon;
    const seen = new Set<string | Tensor>();
    for (const group of asGroups(parameters)) {
      const buckets = new Map<string, Bucket>();
      for (const [name, parameter] of group.parameters) {
        if (seen.has(name)) throw new TypeError(`AdamW: two parameters are named ${name}`);
        if (seen.has(parameter)) throw new TypeError(`AdamW: ${name} was given before, under another name`);
        seen.add(name).add(parameter);
        const kind = `${parameter.dtype} ${parameter.device}`;
        const bucket = buckets.get(kind) ?? {
          weightDecay: group.weightDecay ?? weightDecay,
          learningRateScale: group.learningRateScale ?? 1,
          slots: [],
        };
        bucket.slots.push({ name, parameter, state: undefined });
        buckets.set(kind, bucket);
      }
      this.#buckets.push(...buckets.values());
    }
  }

  /** Moves every parameter that has a gradient by one step; the others and their state stay as they are. */
  step(learningRate: number): void {
    noGrad(() =>
      tidy(() => {
        for (const bucket of this.#buckets) this.#update(bucket, learningRate * bucket.learningRateScale);
      }),
    );
  }

  #update({ slots, weightDecay }: Bucket, learningRate: number): void {
    const parameters: Tensor[] = [];
    const gradients: Tensor[] = [];
    const states: State[] = [];
    for (const slot of slots) {
      const gradient = slot.parameter.grad;
      if (!gradient) continue;
      slot.state ??= emptyState(slot.parameter);
      parameters.push(slot.parameter);
      gradients.push(gradient);
      states.push(slot.state);
    }
    if (parameters.length === 0) return;
    const steps = states.map((state) => state.step);
    F.foreachAddScalar_(steps, 1); // the kernel takes the number of the step that it makes, from 1
    F.fusedAdamw_(
      parameters,
      gradients,
      states.map((state) => state.exp_avg),
      states.map((state) => state.exp_avg_sq),
      [],
      steps,
      learningRate,
      this.#betas[0],
      this.#betas[1],
      weightDecay,
      this.#epsilon,
      false,
      false,
    );
  }

  /** Drops every gradient. */
  zeroGrad(): void {
    for (const { parameter } of this.#slots()) parameter.grad = null;
  }

  /**
   * Views of the state, for a checkpoint: `NAME.exp_avg`, `NAME.exp_avg_sq` and `NAME.step` for every parameter that has
   * been updated. The caller frees them (a `tidy` does).
   */
  stateDict(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const slot of this.#slots()) {
      if (!slot.state) continue;
      for (const key of moments) state.set(`${slot.name}.${key}`, slot.state[key].detach());
    }
    return state;
  }

  /**
   * Takes up the state of `stateDict`, to the bit. A parameter without an entry begins anew.
   * @throws CheckpointError that lists what is missing, misshapen or of no parameter here; nothing has changed then
   */
  load(saved: ReadonlyMap<string, Tensor>): this {
    const slots = [...this.#slots()];
    requireFit(slots, saved);
    noGrad(() =>
      tidy(() => {
        for (const slot of slots) {
          freeState(slot);
          if (!saved.has(`${slot.name}.step`)) continue;
          slot.state = emptyState(slot.parameter);
          for (const key of moments) slot.state[key].copy_(saved.get(`${slot.name}.${key}`)!);
        }
      }),
    );
    return this;
  }

  /** Frees the state. The parameters belong to their modules. */
  dispose(): void {
    for (const slot of this.#slots()) freeState(slot);
  }

  /** `using optimizer = …` frees the state at the end of the block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  *#slots(): Generator<Slot> {
    for (const bucket of this.#buckets) yield* bucket.slots;
  }
}

function asGroups(parameters: NamedParameters | readonly ParameterGroup[]): readonly ParameterGroup[] {
  const items = [...parameters] as (readonly [string, Tensor] | ParameterGroup)[];
  const first = items[0];
  if (first === undefined || Array.isArray(first)) return [{ parameters: items as (readonly [string, Tensor])[] }];
  return items as ParameterGroup[];
}

function emptyState(parameter: Tensor): State {
  return {
    exp_avg: keep(parameter.zerosLike()),
    exp_avg_sq: keep(parameter.zerosLike()),
    step: keep(F.zeros([], "float32", parameter.device)),
  };
}

function freeState(slot: Slot): void {
  for (const key of moments) slot.state?.[key].dispose();
  slot.state = undefined;
}

function requireFit(slots: readonly Slot[], saved: ReadonlyMap<string, Tensor>): void {
  const problems: string[] = [];
  const known = new Set<string>();
  for (const { name, parameter } of slots) {
    const keys = moments.map((key) => `${name}.${key}`);
    const isSaved = keys.some((key) => saved.has(key));
    for (const key of keys) {
      known.add(key);
      const tensor = saved.get(key);
      const wanted = key.endsWith(".step") ? [] : parameter.shape;
      if (!tensor && isSaved) problems.push(`missing: ${key}`);
      else if (tensor && tensor.shape.join() !== wanted.join()) {
        problems.push(`shape: ${key} is (${tensor.shape.join(", ")}), the parameter's has (${wanted.join(", ")})`);
      }
    }
  }
  for (const key of saved.keys()) if (!known.has(key)) problems.push(`unexpected: ${key}`);
  if (problems.length > 0) {
    const more = problems.length > 20 ? `\n  and ${problems.length - 20} more` : "";
    throw new CheckpointError(`the state does not fit the optimizer:\n  ${problems.slice(0, 20).join("\n  ")}${more}`);
  }
}
