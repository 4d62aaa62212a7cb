import { call } from "../call.js";
import type { DType } from "../dtype.js";
import { CheckpointError } from "../errors.js";
import * as F from "../operators.generated.js";
import { defaultDevice } from "../runtime.js";
import { keep, noGrad, tidy } from "../scope.js";
import type { Device, Tensor } from "../tensor.js";

/** One tensor of a checkpoint: its name there, the parameter or buffer it lives in, and which part of it, if not all. */
export interface StateEntry {
  readonly name: string;
  /** The parameter or buffer. */
  readonly tensor: Tensor;
  /** The part of `tensor` (or of its gradient) that this entry is; several entries may share one fused tensor. */
  readonly part?: (whole: Tensor) => Tensor;
  /** Puts a tensor in the place of this part: the others of the fused tensor stay what they are. */
  readonly replace?: (own: Tensor) => void;
}

const buffers = new WeakSet<Tensor>();

/** How modules make their parameters. */
export interface CreationOptions {
  /** Default: ASVR_DEVICE, or the CPU. */
  device: Device;
  /** Default: float32. */
  dtype: DType;
  /** false leaves them without values, for weights that a checkpoint overwrites at once. */
  initialise: boolean;
  /** More than this is not made: a checkpoint's configuration may claim sizes that its weights do not have. Default: no limit. */
  most?: { readonly parameters: number; readonly elements: number };
}

/** What was made under the limit that holds now. */
let made: { parameters: Tensor[]; elements: number } = { parameters: [], elements: 0 };

// The device is asked for when it is needed: one that is not there must not stop whoever only loads the package.
let creation: Partial<CreationOptions> & Omit<CreationOptions, "device"> = { dtype: "float32", initialise: true };

/** Modules made in `body` make their parameters as the options say; what is left out stays as it was outside. */
export function creating<T>(options: Partial<CreationOptions>, body: () => T): T {
  const before = creation;
  creation = { ...creation, ...options };
  const madeBefore = made;
  if (options.most) made = { parameters: [], elements: 0 };
  try {
    return body();
  } catch (error) {
    if (options.most) for (const parameter of made.parameters) parameter.dispose(); // nobody has them
    throw error;
  } finally {
    creation = before;
    made = madeBefore;
  }
}

/**
 * A trainable tensor of `shape`, filled in place by `fill`. It belongs to its module: no scope frees it.
 * @throws CheckpointError when it is more than `creating` allows
 */
export function parameter(shape: readonly number[], fill: (empty: Tensor) => void): Tensor {
  const { device = defaultDevice(), dtype, initialise } = creation;
  requireWithinLimit(shape);
  const empty = keep(F.empty(shape, dtype, device));
  if (creation.most) made.parameters.push(empty);
  if (initialise) noGrad(() => tidy(() => fill(empty)));
  return empty.setRequiresGrad(true);
}

function requireWithinLimit(shape: readonly number[]): void {
  const { most } = creation;
  if (!most) return;
  made.elements += shape.reduce((product, size) => product * size, 1);
  if (made.parameters.length < most.parameters && made.elements <= most.elements) return;
  throw new CheckpointError(
    `a module of more than ${most.parameters} parameters or ${most.elements} numbers is described (one is (${shape.join(", ")}))`,
  );
}

/** Marks a tensor as state that is saved but never trained (a codebook, running statistics). */
export function buffer(tensor: Tensor): Tensor {
  buffers.add(tensor);
  return keep(tensor);
}

/**
 * A network: its parameters are its properties that are tensors, modules, or arrays of modules. Checkpoint names come
 * from property names in snake_case (`qProj.weight` is `q_proj.weight`), arrays by index; `stateNames` overrides one.
 */
export abstract class Module {
  /** Checkpoint names of properties whose snake_case form is another; "" adds no level. */
  protected get stateNames(): Readonly<Record<string, string>> {
    return {};
  }

  /** Every tensor of the checkpoint, in the order of definition. */
  *stateEntries(prefix = ""): Generator<StateEntry> {
    for (const [name, value] of this.#properties(prefix)) {
      if (value instanceof Module) yield* value.stateEntries(name);
      else yield { name, tensor: value };
    }
  }

  /** The trainable tensors, a fused one once, by a name that is unique in this module. */
  *namedParameters(): Generator<[string, Tensor]> {
    const seen = new Set<Tensor>();
    for (const { name, tensor } of this.stateEntries()) {
      if (seen.has(tensor) || buffers.has(tensor)) continue;
      seen.add(tensor);
      yield [name, tensor];
    }
  }

  /** The trainable tensors, each once. */
  parameters(): Tensor[] {
    return Array.from(this.namedParameters(), ([, tensor]) => tensor);
  }

  /** Elements of all trainable tensors. */
  parameterCount(): number {
    return this.parameters().reduce((sum, tensor) => sum + tensor.elementCount, 0);
  }

  /** Views of every state tensor by checkpoint name. The caller frees them (a `tidy` does). */
  stateDict(): Map<string, Tensor> {
    return noGrad(() => {
      const state = new Map<string, Tensor>();
      for (const { name, tensor, part } of this.stateEntries()) {
        const whole = tensor.detach();
        state.set(name, part ? part(whole) : whole);
      }
      return state;
    });
  }

  /** Gradients by checkpoint name; null where none arrived. The caller frees them. */
  gradients(): Map<string, Tensor | null> {
    const gradients = new Map<string, Tensor | null>();
    for (const { name, tensor, part } of this.stateEntries()) {
      if (buffers.has(tensor)) continue;
      const whole = tensor.grad;
      gradients.set(name, whole && part ? part(whole) : whole);
    }
    return gradients;
  }

  /**
   * Copies weights into this module, converting dtype and device.
   * @param weights by checkpoint name; with `prefix`, only names that begin with it, which is cut off
   * @param options `allowUnused: true` passes over weights that this module has no place for; `adopt: true` shares the
   * memory of those that fit as they are instead of copying it, a mapped file's too: what changes the one changes the
   * other. Fused tensors then stay apart.
   * @throws CheckpointError that lists every missing, unexpected and misshapen weight
   */
  load(weights: ReadonlyMap<string, Tensor>, { prefix = "", allowUnused = false, adopt = false } = {}): this {
    const problems: string[] = [];
    const used = new Set<string>();
    noGrad(() =>
      tidy(() => {
        for (const { name, tensor, part, replace } of this.stateEntries(prefix.replace(/\.$/, ""))) {
          const weight = weights.get(name);
          const place = part ? part(tensor.detach()) : tensor.detach();
          used.add(name);
          if (!weight) problems.push(`missing: ${name} (${place.shape.join(", ")})`);
          else if (weight.shape.join() !== place.shape.join()) {
            problems.push(`shape: ${name} is (${weight.shape.join(", ")}), the model has (${place.shape.join(", ")})`);
          } else if (!adopt || !fits(weight, place)) place.copy_(weight);
          else if (replace) replace(keep(weight.detach()).setRequiresGrad(tensor.requiresGrad));
          else call("aten::set_data", tensor, weight);
        }
      }),
    );
    if (!allowUnused) {
      for (const name of weights.keys()) {
        if (name.startsWith(prefix) && !used.has(name)) problems.push(`unexpected: ${name}`);
      }
    }
    if (problems.length > 0) {
      const shown = problems.slice(0, 20).join("\n  ");
      throw new CheckpointError(
        `the weights do not fit ${this.constructor.name}:\n  ${shown}${problems.length > 20 ? `\n  and ${problems.length - 20} more` : ""}`,
      );
    }
    return this;
  }

  /** Parameters receive gradients, or, frozen, neither gradients nor the computation of them. */
  setTrainable(trainable: boolean): this {
    for (const tensor of this.parameters()) tensor.setRequiresGrad(trainable);
    return this;
  }

  /** Frees all state. */
  dispose(): void {
    for (const { tensor } of this.stateEntries()) tensor.dispose();
  }

  /** `using network = …` frees it at the end of the block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  *#properties(prefix: string): Generator<[string, Tensor | Module]> {
    for (const [key, value] of Object.entries(this)) {
      const own =
        this.stateNames[key] ??
        key.replace(/([a-z0-9])([A-Z])/g, (_, before, after) => `${before}_${after.toLowerCase()}`);
      const name = [prefix, own].filter(Boolean).join(".");
      if (value instanceof Module || isTensor(value)) yield [name, value];
      else if (Array.isArray(value)) {
        for (const [index, element] of value.entries()) {
          if (element instanceof Module || isTensor(element)) yield [`${name}.${index}`, element];
        }
      }
    }
  }
}

/** Whether a weight can be what it is loaded into, row-major as all parameters are. */
function fits(weight: Tensor, place: Tensor): boolean {
  if (weight.dtype !== place.dtype || weight.device !== place.device) return false;
  const rowMajor = weight.contiguous(); // the same memory, if it is so already
  try {
    return call("aten::is_set_to", rowMajor, weight) as boolean;
  } finally {
    rowMajor.dispose();
  }
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "surrender" in value;
}
