import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { CheckpointError, noGrad, type Tensor, tidy } from "@asvr/torch";
import { DEFAULT_ALIGNMENT, ggmlTypeId, MAGIC, type ValueKind, valueKinds } from "./types.js";

type Scalar = number | bigint | boolean | string;

/** A value of the metadata and how it is stored: readers insist on the kind. */
export type GgufField =
  | { readonly kind: Exclude<ValueKind, "array">; readonly value: Scalar }
  | { readonly kind: "array"; readonly of: Exclude<ValueKind, "array">; readonly value: readonly Scalar[] };

/** A tensor and how its elements are stored. */
export interface GgufWeight {
  readonly tensor: Tensor;
  readonly type: "F32" | "F16" | "BF16";
}

/** Fields by kind: `field.uint32(5)`. */
export const field = {
  uint32: (value: number): GgufField => ({ kind: "uint32", value }),
  float32: (value: number): GgufField => ({ kind: "float32", value }),
  bool: (value: boolean): GgufField => ({ kind: "bool", value }),
  string: (value: string): GgufField => ({ kind: "string", value }),
  array: (of: Exclude<ValueKind, "array">, value: readonly Scalar[]): GgufField => ({ kind: "array", of, value }),
} as const;

const VERSION = 3;
const CHUNK_ELEMENTS = 1 << 20;
const dtypes = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/**
 * Writes a GGUF file (version 3) from tensors of any device. It appears whole or not at all: under a temporary name
 * first, then forced to the disk and renamed.
 * @throws CheckpointError for a tensor of more dimensions than the format has; errors of the file system as they are
 */
export function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufField>,
  weights: ReadonlyMap<string, GgufWeight>,
): void {
  const header = headerBytes(path, metadata, weights);
  const temporary = `${path}.${process.pid}.partial`;
  const descriptor = openSync(temporary, "w");
  try {
    try {
      writeWhole(descriptor, header);
      for (const weight of weights.values()) writeWeight(descriptor, weight);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function headerBytes(
  path: string,
  metadata: ReadonlyMap<string, GgufField>,
  weights: ReadonlyMap<string, GgufWeight>,
): Buffer {
  const parts = [Buffer.from(MAGIC), number("uint32", VERSION)];
  parts.push(number("uint64", weights.size), number("uint64", metadata.size));
  for (const [key, own] of metadata) {
    parts.push(string(key), number("uint32", valueKinds.indexOf(own.kind)));
    if (own.kind !== "array") parts.push(scalar(own.kind, own.value));
    else {
      parts.push(number("uint32", valueKinds.indexOf(own.of)), number("uint64", own.value.length));
      for (const element of own.value) parts.push(scalar(own.of, element));
    }
  }
  let offset = 0;
  for (const [name, { tensor, type }] of weights) {
    const { shape } = tensor;
    if (shape.length < 1 || shape.length > 4) {
      throw new CheckpointError(`${path}: tensor ${name} is (${shape.join(", ")}); GGUF has 1 to 4 dimensions`);
    }
    parts.push(string(name), number("uint32", shape.length));
    for (const size of [...shape].reverse()) parts.push(number("uint64", size));
    parts.push(number("uint32", ggmlTypeId(type)), number("uint64", offset));
    offset += aligned(bytesOf({ tensor, type }));
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([header, Buffer.alloc(aligned(header.length) - header.length)]);
}

function writeWeight(descriptor: number, weight: GgufWeight): void {
  const { tensor, type } = weight;
  noGrad(() =>
    tidy(() => {
      const elements = tensor.to({ device: "cpu" }).contiguous().view([-1]);
      const total = elements.size(0);
      for (let start = 0; start < total; start += CHUNK_ELEMENTS) {
        tidy(() => {
          const part = elements.narrow(0, start, Math.min(CHUNK_ELEMENTS, total - start)).to(dtypes[type]);
          const values = type === "F32" ? part.data() : part.bitcast("int16").data();
          writeWhole(descriptor, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
        });
      }
    }),
  );
  const bytes = bytesOf(weight);
  writeWhole(descriptor, new Uint8Array(aligned(bytes) - bytes));
}

function bytesOf({ tensor, type }: GgufWeight): number {
  return tensor.elementCount * (type === "F32" ? 4 : 2);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT;
}

function scalar(kind: Exclude<ValueKind, "array">, value: Scalar): Buffer {
  if (kind === "string") return string(String(value));
  return kind === "bool" ? Buffer.of(value ? 1 : 0) : number(kind, value as number | bigint);
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([number("uint64", bytes.length), bytes]);
}

type NumberKind = Exclude<ValueKind, "array" | "string" | "bool">;

const arrays = {
  ...{ uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array },
  ...{ int32: Int32Array, float32: Float32Array, float64: Float64Array },
} as const;

/** The bytes of one number; every machine that libtorch runs on here is little-endian. */
function number(kind: NumberKind, value: number | bigint): Buffer {
  const made =
    kind === "uint64" || kind === "int64"
      ? BigUint64Array.of(BigInt.asUintN(64, BigInt(value)))
      : arrays[kind].of(Number(value));
  return Buffer.from(made.buffer);
}

/** One write may take less than it was given. */
function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
}
