/** How the elements of a tensor are stored: in blocks of `elements`, each of `bytes`. Plain numbers are blocks of one. */
export interface GgmlType {
  readonly name: string;
  readonly elements: number;
  readonly bytes: number;
}

/** Types of ggml by the number that stands for each in a file. Those that were withdrawn are left out. */
const types: Readonly<Record<number, readonly [name: string, elements: number, bytes: number]>> = {
  0: ["F32", 1, 4],
  1: ["F16", 1, 2],
  2: ["Q4_0", 32, 18],
  3: ["Q4_1", 32, 20],
  6: ["Q5_0", 32, 22],
  7: ["Q5_1", 32, 24],
  8: ["Q8_0", 32, 34],
  9: ["Q8_1", 32, 40],
  10: ["Q2_K", 256, 84],
  11: ["Q3_K", 256, 110],
  12: ["Q4_K", 256, 144],
  13: ["Q5_K", 256, 176],
  14: ["Q6_K", 256, 210],
  15: ["Q8_K", 256, 292],
  16: ["IQ2_XXS", 256, 66],
  17: ["IQ2_XS", 256, 74],
  18: ["IQ3_XXS", 256, 98],
  19: ["IQ1_S", 256, 50],
  20: ["IQ4_NL", 32, 18],
  21: ["IQ3_S", 256, 110],
  22: ["IQ2_S", 256, 82],
  23: ["IQ4_XS", 256, 136],
  24: ["I8", 1, 1],
  25: ["I16", 1, 2],
  26: ["I32", 1, 4],
  27: ["I64", 1, 8],
  28: ["F64", 1, 8],
  29: ["IQ1_M", 256, 56],
  30: ["BF16", 1, 2],
  34: ["TQ1_0", 256, 54],
  35: ["TQ2_0", 256, 66],
  39: ["MXFP4", 32, 17],
};

/** The type of that number, or undefined. */
export function ggmlType(id: number): GgmlType | undefined {
  const [name, elements, bytes] = types[id] ?? [];
  return name === undefined ? undefined : { name, elements: elements!, bytes: bytes! };
}

/** The number of a type. */
export function ggmlTypeId(name: "F32" | "F16" | "BF16"): number {
  return { F32: 0, F16: 1, BF16: 30 }[name];
}

/** The kinds of metadata values, each at the number that stands for it in a file. */
export const valueKinds = [
  ...(["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32"] as const),
  ...(["bool", "string", "array", "uint64", "int64", "float64"] as const),
] as const;

export type ValueKind = (typeof valueKinds)[number];

/** A value of the metadata. Integers beyond 2^53 are bigints. */
export type GgufValue = number | bigint | boolean | string | readonly (number | bigint | boolean | string)[];

/** The first bytes of a file. */
export const MAGIC = "GGUF";

/** Where `general.alignment` doesn't say another. */
export const DEFAULT_ALIGNMENT = 32;
