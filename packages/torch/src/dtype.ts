import { DtypeError } from "./errors.js";

/** The dtype of a tensor's elements. "bfloat16" and "float16" have no typed array: read them out as "float32". */
export type DType =
  | "uint8"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "float16"
  | "float32"
  | "float64"
  | "bool"
  | "bfloat16"
  | "uint16"
  | "uint32";

/** libtorch's codes (c10::ScalarType), the safetensors names, and the typed array that holds the same bits. */
const table = {
  uint8: { code: 0, safetensors: "U8", bytes: 1, array: Uint8Array },
  int8: { code: 1, safetensors: "I8", bytes: 1, array: Int8Array },
  int16: { code: 2, safetensors: "I16", bytes: 2, array: Int16Array },
  int32: { code: 3, safetensors: "I32", bytes: 4, array: Int32Array },
  int64: { code: 4, safetensors: "I64", bytes: 8, array: BigInt64Array },
  float16: { code: 5, safetensors: "F16", bytes: 2, array: undefined },
  float32: { code: 6, safetensors: "F32", bytes: 4, array: Float32Array },
  float64: { code: 7, safetensors: "F64", bytes: 8, array: Float64Array },
  bool: { code: 11, safetensors: "BOOL", bytes: 1, array: Uint8Array },
  bfloat16: { code: 15, safetensors: "BF16", bytes: 2, array: undefined },
  uint16: { code: 27, safetensors: "U16", bytes: 2, array: Uint16Array },
  uint32: { code: 28, safetensors: "U32", bytes: 4, array: Uint32Array },
} as const satisfies Record<DType, { code: number; safetensors: string; bytes: number; array: unknown }>;

/** An array of JavaScript that holds the values of a tensor: int64 as BigInt64Array, bool as Uint8Array. */
export type TypedArray =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array;

const names = Object.keys(table) as DType[];

/** @throws DtypeError for a name that is none, as plain JavaScript may give */
export function dtypeCode(dtype: DType | undefined | null): number | undefined {
  if (dtype == null) return undefined;
  const known = table[dtype];
  if (!known) throw new DtypeError(`there is no dtype ${dtype}. There are: ${names.join(", ")}`);
  return known.code;
}

export function dtypeOf(code: number): DType {
  const name = names.find((dtype) => table[dtype].code === code);
  if (!name) throw new DtypeError(`libtorch's scalar type ${code} has no name here`);
  return name;
}

export function dtypeBytes(dtype: DType): number {
  return table[dtype].bytes;
}

export function safetensorsName(dtype: DType): string {
  return table[dtype].safetensors;
}

/** The dtype of a safetensors name, or undefined where there is none here. */
export function dtypeOfSafetensors(name: string): DType | undefined {
  return names.find((dtype) => table[dtype].safetensors === name);
}

/** An array that holds `count` values of `dtype`, bit for bit. */
export function arrayOf(dtype: DType, count: number): TypedArray {
  const ArrayClass = table[dtype].array;
  if (!ArrayClass) {
    throw new DtypeError(`${dtype} has no typed array in JavaScript: convert first, with .to("float32")`);
  }
  return new ArrayClass(count);
}

/** The dtype that a typed array's values have without conversion. @throws DtypeError for what is none, or has none */
export function dtypeOfArray(array: TypedArray): DType {
  if (array instanceof Float32Array) return "float32";
  if (array instanceof BigInt64Array) return "int64";
  if (array instanceof Int32Array) return "int32";
  if (array instanceof Uint8Array) return "uint8";
  if (array instanceof Float64Array) return "float64";
  if (array instanceof Uint16Array) return "uint16";
  if (array instanceof Int16Array) return "int16";
  if (array instanceof Int8Array) return "int8";
  if (array instanceof Uint32Array) return "uint32";
  const kind = ArrayBuffer.isView(array) ? (array as object).constructor.name : typeof array;
  throw new DtypeError(`no dtype has the numbers of this: ${kind}. Float32Array, Int32Array, Uint8Array … are taken`);
}
