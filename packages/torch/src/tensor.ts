// For `using`: these types are to be read by programs with an older `lib`, too.
/// <reference lib="esnext.disposable" preserve="true" />
import { arrayOf, type DType, dtypeCode, dtypeOf, dtypeOfArray, type TypedArray } from "./dtype.js";
import { DisposedError, ShapeError } from "./errors.js";
import { describeTensor, Operator } from "./invoke.js";
import { native } from "./native.js";
import { TensorMethods } from "./operators.generated.js";
import { register, unregister } from "./scope.js";
import { bindTensorClass } from "./wrap.js";

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
    return native.item(this.handle);
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

  /** Overwrites the values of a contiguous tensor in host memory. */
  copyFrom(array: TypedArray): this {
    native.copyFromArray(this.handle, array);
    return this;
  }

  /** Whether operations on it are recorded for `backward`. */
  get requiresGrad(): boolean {
    return native.requiresGrad(this.handle);
  }

  /** Whether `backward` shall give it a gradient. @throws Error for a dtype that is no floating-point one */
  setRequiresGrad(required: boolean): this {
    native.setRequiresGrad(this.handle, required);
    return this;
  }

  /** The accumulated gradient of a leaf, or null. A new tensor object at each call, on the same memory. */
  get grad(): Tensor | null {
    const handle = native.gradientOf(this.handle);
    return handle === null ? null : new Tensor(handle);
  }

  /** null drops it. */
  set grad(gradient: Tensor | null) {
    native.setGradient(this.handle, gradient === null ? null : gradient.handle);
  }

  /** Adds the gradients of this (scalar, or with `gradient` given) to `.grad` of the leaves it came from. */
  backward(gradient?: Tensor, { retainGraph = false } = {}): void {
    native.backward([this.handle], gradient ? [gradient.handle] : null, retainGraph);
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

/** A number, or arrays of them in as many levels as the tensor has dimensions. */
export type NestedNumbers = number | boolean | readonly NestedNumbers[];

/**
 * A tensor from numbers (nested arrays) or from a typed array, whose bytes are copied.
 * @param options `shape` for a typed array, default one dimension; `dtype` is float32 by default, or the array's own
 * @throws ShapeError when nested arrays are ragged or the shape does not fit the count
 */
export function tensor(
  values: NestedNumbers | TypedArray,
  { shape, dtype, device }: TensorOptions & { shape?: readonly number[] } = {},
): Tensor {
  const typed = ArrayBuffer.isView(values);
  const array = typed ? (values as TypedArray) : flatten(values as NestedNumbers);
  const sizes = shape ?? (typed ? [array.length] : shapeOf(values as NestedNumbers));
  const count = sizes.reduce((product, size) => product * size, 1);
  if (count !== array.length) {
    throw new ShapeError(
      `tensor: ${array.length} values do not fill the shape (${sizes.join(", ")}), which takes ${count}`,
    );
  }
  const created = new Tensor(native.fromArray(array, dtypeCode(dtypeOfArray(array))!, sizes));
  const wanted = dtype ?? (typed ? created.dtype : "float32");
  if (wanted === created.dtype && (device ?? "cpu") === "cpu") return created;
  const converted = created.to({ dtype: wanted, device });
  created.dispose();
  return converted;
}

function shapeOf(values: NestedNumbers): number[] {
  const sizes: number[] = [];
  for (let level: NestedNumbers = values; Array.isArray(level); level = level[0] as NestedNumbers)
    sizes.push(level.length);
  return sizes;
}

function flatten(values: NestedNumbers): Float64Array {
  if (!Array.isArray(values)) return Float64Array.of(Number(values));
  return Float64Array.from(values.flat(Number.POSITIVE_INFINITY) as number[], Number);
}

/** Sums gradients of `outputs` with respect to `inputs`; null for an input that they do not depend on. */
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  {
    gradients,
    retainGraph = false,
    createGraph = false,
  }: { gradients?: readonly Tensor[]; retainGraph?: boolean; createGraph?: boolean } = {},
): (Tensor | null)[] {
  return native
    .grad(
      outputs.map((output) => output.handle),
      inputs.map((input) => input.handle),
      gradients ? gradients.map((gradient) => gradient.handle) : null,
      retainGraph,
      createGraph,
    )
    .map((handle) => (handle === null ? null : new Tensor(handle)));
}

/**
 * A scalar whose gradients are known: `value` as a result of `inputs`, so that backward passes each of them its gradient
 * times what comes from above. For formulations that compute loss and gradients in one pass.
 * @param gradients one for each input, with its shape and dtype, or null for one that needs none. They belong to the
 * result from here on: backward overwrites them.
 * @param expected what the result will be multiplied with; backward fails, on a CPU, where it was something else
 * @returns a new scalar; without history under `noGrad`, or where no input wants a gradient
 */
export function withGradients(
  value: Tensor,
  inputs: readonly Tensor[],
  gradients: readonly (Tensor | null)[],
  expected: number | null = null,
): Tensor {
  return new Tensor(
    native.withGradients(
      value.handle,
      inputs.map((input) => input.handle),
      gradients.map((gradient) => gradient?.handle ?? -1),
      expected,
    ),
  );
}
