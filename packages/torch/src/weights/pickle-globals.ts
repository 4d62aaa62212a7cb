import type { DType } from "../dtype.js";
import {
  type Caller,
  PickledDType,
  PickledFunction,
  PickledStorage,
  PickledTensor,
  type PickleValue,
  StorageType,
} from "./pickle-values.js";

/** libtorch itself has no more dimensions in most operators. */
const MAX_DIMENSIONS = 64;

const storageTypes: Record<string, DType | null> = {
  "torch.DoubleStorage": "float64",
  "torch.FloatStorage": "float32",
  "torch.HalfStorage": "float16",
  "torch.BFloat16Storage": "bfloat16",
  "torch.LongStorage": "int64",
  "torch.IntStorage": "int32",
  "torch.ShortStorage": "int16",
  "torch.CharStorage": "int8",
  "torch.ByteStorage": "uint8",
  "torch.BoolStorage": "bool",
  "torch.storage.UntypedStorage": null,
};

const dtypes: DType[] = [
  "uint8",
  "int8",
  "int16",
  "int32",
  "int64",
  "float16",
  "float32",
  "float64",
  "bool",
  "bfloat16",
  "uint16",
  "uint32",
];

const functions: Record<string, PickledFunction["call"]> = {
  "collections.OrderedDict": (args, { fail }) =>
    args.length === 0 ? new Map() : fail("an OrderedDict with arguments"),
  "__builtin__.set": setOf,
  "builtins.set": setOf,
  "__builtin__.frozenset": setOf,
  "builtins.frozenset": setOf,
  "__builtin__.bytes": noBytes,
  "builtins.bytes": noBytes,
  "_codecs.encode": bytesOf,
  "torch.Size": (args, { fail }) =>
    args.length === 1 && isTuple(args[0]) ? args[0] : fail("a torch.Size of no tuple"),
  "torch.device": deviceOf,
  "torch._utils._rebuild_tensor_v2": ([storage, offset, shape, strides, , hooks, metadata, ...rest], caller) =>
    tensorOf(caller, rest, { storage, offset, shape, strides, hooks, metadata }),
  "torch._utils._rebuild_tensor_v3": ([storage, offset, shape, strides, , hooks, dtype, metadata, ...rest], caller) =>
    tensorOf(caller, rest, { storage, offset, shape, strides, hooks, metadata, dtype }),
  "torch._utils._rebuild_parameter": ([data, , hooks, ...rest], { fail }) => {
    if (!(data instanceof PickledTensor) || rest.length > 0) return fail("a parameter that is made of no tensor");
    return requireNoHooks(hooks, fail) ?? data;
  },
};

/** Whatever a pickle may name, by module and name. Nothing of it runs code, reads files or makes other objects. */
export const allowedGlobals: ReadonlyMap<string, PickledFunction | PickledDType | StorageType> = new Map<
  string,
  PickledFunction | PickledDType | StorageType
>([
  ...Object.entries(storageTypes).map(([name, dtype]) => [name, new StorageType(dtype)] as const),
  ...dtypes.map((dtype) => [`torch.${dtype}`, new PickledDType(dtype)] as const),
  ...Object.entries(functions).map(([name, call]) => [name, new PickledFunction(name, call)] as const),
]);

/** Whether a global that is not allowed is no danger, but a dtype that has no name here. */
export function isOtherDType(name: string): boolean {
  return /^torch\.(\w+Storage|(float|complex|q?u?int|bits)\d\w*)$/.test(name);
}

/** What `torch.save` writes in the place of a storage: ("storage", its class, key, device, count). */
export function storageOf(id: PickleValue, fail: Caller["fail"]): PickledStorage {
  if (isTuple(id) && id.length === 5 && id[0] === "storage") {
    const [, type, key, location, count] = id;
    if (type instanceof StorageType && typeof key === "string" && typeof location === "string" && isSize(count)) {
      return new PickledStorage(type.dtype, key, count);
    }
  }
  return fail("a persistent id that is not ('storage', class, key, device, count)");
}

interface TensorArguments {
  readonly storage: PickleValue | undefined;
  readonly offset: PickleValue | undefined;
  readonly shape: PickleValue | undefined;
  readonly strides: PickleValue | undefined;
  readonly hooks: PickleValue | undefined;
  readonly metadata: PickleValue | undefined;
  /** Missing where the storage says it. */
  readonly dtype?: PickleValue | undefined;
}

function tensorOf({ fail }: Caller, rest: readonly PickleValue[], given: TensorArguments): PickledTensor {
  const { storage, offset, shape, strides, hooks, metadata, dtype: own } = given;
  if (!(storage instanceof PickledStorage) || !isSize(offset)) return fail("a tensor without storage or offset");
  if (!isSizes(shape) || !isSizes(strides) || shape.length !== strides.length) {
    return fail("a tensor whose shape and strides are not two tuples of sizes, equally long");
  }
  if (shape.length > MAX_DIMENSIONS) fail(`a tensor of ${shape.length} dimensions, ${MAX_DIMENSIONS} are allowed`);
  requireNoHooks(hooks, fail);
  if (rest.length > 0) fail("a tensor with more arguments than are known");
  // Set for a lazily negated or conjugated tensor, whose stored numbers are not its values.
  if (metadata != null && !(metadata instanceof Map && metadata.size === 0)) {
    fail("a tensor with metadata. Save it resolved: tensor.resolve_neg()");
  }
  const dtype = own instanceof PickledDType ? own.dtype : storage.dtype;
  return dtype ? new PickledTensor(storage, dtype, shape, strides, offset) : fail("a tensor without dtype");
}

function requireNoHooks(hooks: PickleValue | undefined, fail: Caller["fail"]): undefined {
  return hooks instanceof Map && hooks.size === 0 ? undefined : fail("a tensor with hooks");
}

function setOf(args: readonly PickleValue[], { fail, charge }: Caller): Set<PickleValue> {
  const [elements, ...rest] = args;
  if (!Array.isArray(elements) || rest.length > 0) return fail("a set that is made of no list");
  charge(elements.length);
  return new Set(elements as PickleValue[]);
}

function noBytes(args: readonly PickleValue[], { fail }: Caller): Uint8Array {
  return args.length === 0 ? new Uint8Array() : fail("bytes with arguments");
}

/** Protocol 2 has no bytes: they are written as text of the same code points, to be encoded. */
function bytesOf([text, encoding, ...rest]: readonly PickleValue[], { fail, charge }: Caller): Uint8Array {
  if (typeof text !== "string" || encoding !== "latin1" || rest.length > 0)
    return fail("an encoding other than latin1");
  charge(text.length);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255) fail("text that is not latin1 as bytes");
    bytes[i] = code;
  }
  return bytes;
}

function deviceOf([type, index, ...rest]: readonly PickleValue[], { fail }: Caller): string {
  if (typeof type !== "string" || rest.length > 0) return fail("a device without a name");
  if (index === undefined) return type;
  return isSize(index) ? `${type}:${index}` : fail("a device whose number is none");
}

/** Tuples are the arrays that can't be changed. */
function isTuple(value: PickleValue | undefined): value is readonly PickleValue[] {
  return Array.isArray(value) && Object.isFrozen(value);
}

function isSize(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isSizes(value: PickleValue | undefined): value is readonly number[] {
  return isTuple(value) && value.length <= 10_000 && value.every(isSize);
}
