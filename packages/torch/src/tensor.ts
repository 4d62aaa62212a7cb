// For `using`: these types are to be read by programs with an older `lib`, too.
/// <reference lib="esnext.disposable" preserve="true" />
import { arrayOf, type DType, dtypeCode, dtypeOf, dtypeOfArray, type TypedArray } from "./dtype.js";
import { DisposedError, DtypeError, ShapeError } from "./errors.js";
import { asTorch, describeTensor, Operator } from "./invoke.js";
import { native } from "./native.js";
import { countOf, type NestedNumbers, readNested } from "./nested-numbers.js";
import { TensorMethods } from "./operators.generated.js";
import { register, unregister } from "./scope.js";
import { bindTensorClass } from "./wrap.js";

/** The arrays that hold the bits of what JavaScript has no numbers of. */
const bitsOf: Partial<Record<DType, DType>> = { bool: "uint8", bfloat16: "uint16", float16: "uint16" };

const convert = new Operator("aten::to", "dtype_layout");

/** A device: "cpu", "cuda", "cuda:1", "mps". */
export type Device = string;

/** Where a tensor shall be and what its elements shall be; what is left out stays, or is the default of the call. */
export interface TensorOptions {
  dtype?: DType;
  device?: Device;
}

/**
 * An array of numbers that libtorch owns. The methods that compute are generated from the dispatcher's schemas
 * (operators.generated.ts); any other operator is reachable by name through `call`.
 */
export class Tensor extends TensorMethods {
  #handle: number;
  #shape: readonly number[] | undefined;
  /** @internal The place in the list of scoped tensors, or -1: scope.ts keeps it. */
  slot = -1;

  /** @internal Tensors come from operators, `tensor()` and the factories. */
  constructor(handle: number) {
    super();
    this.#handle = handle;
    register(this);
  }

  /** The addon's handle. @throws DisposedError after the tensor was freed */
  override get handle(): number {
    if (this.#handle < 0) {
      throw new DisposedError(
        `a tensor${this.#shape ? ` of shape (${this.#shape.join(", ")})` : ""} was used after it was freed. ` +
          "Return it from its tidy, or keep() it, if it must outlive the scope.",
      );
    }
    return this.#handle;
  }

  /** Sizes of the dimensions; [] for a scalar. */
  get shape(): readonly number[] {
    this.#shape ??= native.shape(this.handle);
    return this.#shape;
  }

  /** Size along one dimension; negative counts from the end. @throws ShapeError when there is no such dimension */
  size(dim: number): number {
    const size = this.shape.at(dim);
    if (size === undefined) throw new ShapeError(`size(${dim}): the shape is (${this.shape.join(", ")})`);
    return size;
  }

  /** @throws DtypeError for one of libtorch's that has no name here (a complex or quantized one) */
  get dtype(): DType {
    return dtypeOf(native.dtype(this.handle));
  }

  /** Where its memory is, with the index where there are several: "cpu", "cuda:0". */
  get device(): Device {
    return native.device(this.handle);
  }

  /** The product of the sizes: 1 for a scalar. */
  get elementCount(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** Another dtype or device; the same tensor's data where nothing changes. */
  to(target: DType | TensorOptions): Tensor {
    const { dtype, device } = typeof target === "string" ? { dtype: target, device: undefined } : target;
    return new Tensor(convert.run(this.handle, dtypeCode(dtype), undefined, device) as number);
  }

  /** The value of a tensor of one element. Waits for the device. */
  item(): number {
    return asTorch("item", () => native.item(this.handle));
  }

  /** The values in row-major order, in the typed array of this dtype. @throws DtypeError for bfloat16 and float16 */
  data(): TypedArray {
    const array = arrayOf(this.dtype, this.elementCount);
    native.copyToArray(this.handle, array);
    return array;
  }

  /** The values in row-major order as plain numbers, whatever the dtype (int64 exact up to 2^53). */
  toNumbers(): number[] {
    const dtype = this.dtype;
    if (dtype === "bfloat16" || dtype === "float16") {
      using wide = this.to("float32");
      return wide.toNumbers();
    }
    return Array.from(this.data() as ArrayLike<number | bigint>, Number);
  }

  /**
   * Overwrites the values of a contiguous tensor in host memory.
   * @param array as `data` gives it; of bfloat16 and float16 the bits, in a Uint16Array
   * @throws DtypeError for an array of another type
   */
  copyFrom(array: TypedArray): this {
    const { dtype } = this;
    const given = dtypeOfArray(array);
    if (given !== (bitsOf[dtype] ?? dtype)) {
      throw new DtypeError(`copyFrom: the tensor is ${dtype}, the array's numbers are ${given}`);
    }
    // What is neither 0 nor 1 is no bool: libtorch would take it for several.
    const values = dtype === "bool" ? (array as Uint8Array).map((value) => Number(value !== 0)) : array;
    asTorch("copyFrom", () => native.copyFromArray(this.handle, values));
    return this;
  }

  /** Whether operations on it are recorded for `backward`. */
  get requiresGrad(): boolean {
    return native.requiresGrad(this.handle);
  }

  /** Whether `backward` shall give it a gradient. @throws TorchError for a dtype that is no floating-point one */
  setRequiresGrad(required: boolean): this {
    asTorch("setRequiresGrad", () => native.setRequiresGrad(this.handle, required));
    return this;
  }

  /** The accumulated gradient of a leaf, or null. A new tensor object at each call, on the same memory. */
  get grad(): Tensor | null {
    const handle = native.gradientOf(this.handle);
    return handle === null ? null : new Tensor(handle);
  }

  /** null drops it. @throws ShapeError for another shape @throws DtypeError for another dtype */
  set grad(gradient: Tensor | null) {
    if (gradient !== null) {
      requireShape("grad", gradient, this);
      if (gradient.dtype !== this.dtype) {
        throw new DtypeError(`grad: a tensor of ${this.dtype} was given a gradient of ${gradient.dtype}`);
      }
    }
    native.setGradient(this.handle, gradient === null ? null : gradient.handle);
  }

  /**
   * Adds the gradients of this (scalar, or with `gradient` given) to `.grad` of the leaves it came from.
   * @throws ShapeError when `gradient` has another shape
   * @throws TorchError when it came from no leaf that wants a gradient
   */
  backward(gradient?: Tensor | null, { retainGraph = false } = {}): void {
    if (gradient) requireShape("backward", gradient, this);
    asTorch("backward", () => native.backward([this.handle], gradient ? [gradient.handle] : null, retainGraph));
  }

  /** Frees the memory, as far as nothing else (a view, the autograd graph) holds it. Freeing twice does nothing. */
  dispose(): void {
    if (this.#handle < 0) return;
    unregister(this);
    native.release(this.surrender());
  }

  /** `using x = …` frees it at the end of the block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Whether it was freed. */
  get isDisposed(): boolean {
    return this.#handle < 0;
  }

  /** @internal Gives the handle up to a scope that frees many at once. */
  surrender(): number {
    const handle = this.handle;
    this.#handle = -1;
    this.slot = -1;
    return handle;
  }

  /** Shape, dtype and device; not the values. */
  override toString(): string {
    return this.isDisposed ? "Tensor (freed)" : `Tensor ${describeTensor(this.handle)} on ${this.device}`;
  }
}

bindTensorClass(Tensor);

/**
 * A tensor from numbers (nested arrays) or from a typed array, whose bytes are copied.
 * @param options `shape` for a typed array, default one dimension; `dtype` is float32 by default, or the array's own
 * @throws ShapeError when nested arrays are ragged or the shape does not fit the count
 * @throws DtypeError for an element that is no number, and for an array whose numbers no dtype has
 */
export function tensor(
  values: NestedNumbers | TypedArray,
  { shape, dtype, device }: TensorOptions & { shape?: readonly number[] } = {},
): Tensor {
  const typed = ArrayBuffer.isView(values);
  const nested = typed ? undefined : readNested(values as NestedNumbers);
  const array = nested?.numbers ?? (values as TypedArray);
  const code = dtypeCode(dtypeOfArray(array))!;
  const sizes = shape ?? nested?.shape ?? [array.length];
  const count = countOf(sizes);
  if (count !== array.length) {
    throw new ShapeError(
      `tensor: ${array.length} values do not fill the shape (${sizes.join(", ")}), which takes ${count}`,
    );
  }
  const created = new Tensor(asTorch("tensor", () => native.fromArray(array, code, sizes)));
  const wanted = dtype ?? (typed ? created.dtype : "float32");
  if (wanted === created.dtype && (device ?? "cpu") === "cpu") return created;
  const converted = created.to({ dtype: wanted, device });
  created.dispose();
  return converted;
}

/**
 * Sums gradients of `outputs` with respect to `inputs`; null for an input that they do not depend on.
 * @throws ShapeError when `gradients` are not as many as the outputs, each of its output's shape
 * @throws TorchError when an input wants no gradient
 * @group Gradients
 */
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  {
    gradients,
    retainGraph = false,
    createGraph = false,
  }: { gradients?: readonly Tensor[]; retainGraph?: boolean; createGraph?: boolean } = {},
): (Tensor | null)[] {
  if (outputs.length === 0 || inputs.length === 0) throw new ShapeError("grad: there is no output, or no input");
  if (gradients) {
    requireCount("grad", gradients, outputs);
    for (const [i, gradient] of gradients.entries()) requireShape("grad", gradient, outputs[i]!);
  }
  const [from, to, given] = [handlesOf(outputs), handlesOf(inputs), gradients ? handlesOf(gradients) : null];
  return asTorch("grad", () => native.grad(from, to, given, retainGraph, createGraph)).map((handle) =>
    handle === null ? null : new Tensor(handle),
  );
}

function requireShape(call: string, gradient: Tensor, tensor: Tensor): void {
  if (String(gradient.shape) === String(tensor.shape)) return;
  throw new ShapeError(
    `${call}: a tensor of shape (${tensor.shape.join(", ")}) was given a gradient of shape (${gradient.shape?.join(", ")})`,
  );
}

function requireCount(call: string, gradients: readonly unknown[], tensors: readonly Tensor[]): void {
  if (gradients.length === tensors.length) return;
  throw new ShapeError(`${call}: ${tensors.length} tensors were given ${gradients.length} gradients`);
}

/** Throws at the first that is no tensor: `map` would pass over those that are missing. */
function handlesOf(tensors: Iterable<Tensor>): number[] {
  const handles: number[] = [];
  for (const { handle } of tensors) handles.push(handle);
  return handles;
}

/**
 * A scalar whose gradients are known: `value` as a result of `inputs`, so that backward passes each of them its gradient
 * times what comes from above. For formulations that compute loss and gradients in one pass.
 * @param gradients one for each input, with its shape and dtype, or null for one that needs none. They belong to the
 * result from here on: backward overwrites them.
 * @param expected what the result will be multiplied with; backward fails, on a CPU, where it was something else
 * @returns a new scalar; without history under `noGrad`, or where no input wants a gradient
 * @throws ShapeError when the gradients are not as many as the inputs
 * @group Gradients
 */
export function withGradients(
  value: Tensor,
  inputs: readonly Tensor[],
  gradients: readonly (Tensor | null)[],
  expected: number | null = null,
): Tensor {
  requireCount("withGradients", gradients, inputs);
  const given = gradients.map((gradient) => gradient?.handle ?? -1);
  return new Tensor(
    asTorch("withGradients", () => native.withGradients(value.handle, handlesOf(inputs), given, expected)),
  );
}
