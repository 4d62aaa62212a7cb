import { closeSync } from "node:fs";
import { CheckpointError } from "@asvr/torch";
import { openFile } from "@asvr/torch/files";
import { HeaderBytes, MAX_HEADER_BYTES } from "./header-bytes.js";
import {
  DEFAULT_ALIGNMENT,
  type GgmlType,
  type GgufValue,
  ggmlType,
  MAGIC,
  type ValueKind,
  valueKinds,
} from "./types.js";

/** What a file says of a tensor. */
export interface GgufEntry {
  readonly type: GgmlType;
  /** Row-major, as elsewhere here: the file counts dimensions from the innermost one. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly begin: number;
  readonly bytes: number;
}

/** What a GGUF file says of itself and its tensors. */
export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of the file. */
  readonly entries: ReadonlyMap<string, GgufEntry>;
  readonly fileBytes: number;
}

type Fail = (problem: string) => never;

const MAX_DIMENSIONS = 4;
const MAX_ALIGNMENT = 1 << 16;
const MIN_PAIR_BYTES = 13; // an empty key, a kind, one byte
const MIN_TENSOR_BYTES = 32; // an empty name, one dimension, type and place

// More than any model has, and few enough to be refused, or read, in a moment.
const MAX_PAIRS = 1 << 16;
const MAX_TENSORS = 1 << 16;
const MAX_ELEMENTS = 1 << 21; // of one array of the metadata

/**
 * What a GGUF file (version 2 or 3, little-endian) says, without reading a tensor. Every count, length and place is
 * checked against the file before it is used; tensors may neither overlap nor reach past the end.
 * @throws CheckpointError that names the file and what is wrong with it
 */
export function readGgufHeader(path: string): GgufHeader {
  const fail: Fail = (problem) => {
    throw new CheckpointError(`${path}: ${problem}`);
  };
  let descriptor: number | undefined;
  try {
    const opened = openFile(path);
    descriptor = opened.descriptor;
    return parseHeader(new HeaderBytes(descriptor, opened.bytes, fail), fail);
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${path}: can't be read: ${(cause as Error).message}`, { cause });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function parseHeader(bytes: HeaderBytes, fail: Fail): GgufHeader {
  if (bytes.left < 24 || bytes.take(4, "its mark").toString("latin1") !== MAGIC) {
    fail(`this is no GGUF file: it does not begin with "${MAGIC}" and the 20 bytes that follow it`);
  }
  const version = bytes.take(4, "its version").readUInt32LE();
  if (version !== 2 && version !== 3) {
    const swapped = version === 0x02000000 || version === 0x03000000;
    fail(swapped ? "it is big-endian; little-endian files are read" : `it is of version ${version}; 2 and 3 are read`);
  }
  const tensorCount = readCount(bytes, "tensors", { minBytes: MIN_TENSOR_BYTES, most: MAX_TENSORS }, fail);
  const pairCount = readCount(bytes, "metadata entries", { minBytes: MIN_PAIR_BYTES, most: MAX_PAIRS }, fail);
  const metadata = new Map<string, GgufValue>();
  for (let index = 0; index < pairCount; index++) {
    const key = readString(bytes, `the key of metadata entry ${index}`, fail);
    if (metadata.has(key)) fail(`metadata has ${JSON.stringify(key)} twice`);
    metadata.set(key, readValue(bytes, `metadata ${JSON.stringify(key)}`, fail));
  }
  const described = new Map<string, Described>();
  for (let index = 0; index < tensorCount; index++) {
    const name = readString(bytes, `the name of tensor ${index}`, fail);
    if (described.has(name)) fail(`tensor ${JSON.stringify(name)} is there twice`);
    described.set(name, readTensor(bytes, `tensor ${JSON.stringify(name)}`, fail));
  }
  const alignment = alignmentOf(metadata, fail);
  const dataStart = Math.ceil(bytes.position / alignment) * alignment;
  return {
    version,
    metadata,
    entries: placed(described, dataStart, alignment, bytes.fileBytes, fail),
    fileBytes: bytes.fileBytes,
  };
}

/** A number of things of at least `minBytes` each, of which no more can be there than the file has room for. */
function readCount(bytes: HeaderBytes, what: string, { minBytes, most }: Limits, fail: Fail): number {
  const count = bytes.take(8, `the number of ${what}`).readBigUInt64LE();
  if (count * BigInt(minBytes) > BigInt(bytes.left)) {
    fail(`${count} ${what} are announced, for which the ${bytes.left} bytes that follow have no room`);
  }
  if (count > BigInt(most)) fail(`${count} ${what} are announced, ${most} are allowed`);
  return Number(count);
}

interface Limits {
  readonly minBytes: number;
  readonly most: number;
}

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readString(bytes: HeaderBytes, what: string, fail: Fail): string {
  const length = readCount(bytes, `bytes of ${what}`, { minBytes: 1, most: MAX_HEADER_BYTES }, fail);
  try {
    return text.decode(bytes.take(length, what));
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    return fail(`${what} is no UTF-8`);
  }
}

/** Bytes of a value and how to read it, for every kind of a fixed width. */
const numbers: Readonly<
  Partial<Record<ValueKind, [bytes: number, read: (from: Buffer, at: number) => number | bigint]>>
> = {
  uint8: [1, (from, at) => from.readUInt8(at)],
  int8: [1, (from, at) => from.readInt8(at)],
  uint16: [2, (from, at) => from.readUInt16LE(at)],
  int16: [2, (from, at) => from.readInt16LE(at)],
  uint32: [4, (from, at) => from.readUInt32LE(at)],
  int32: [4, (from, at) => from.readInt32LE(at)],
  float32: [4, (from, at) => from.readFloatLE(at)],
  uint64: [8, (from, at) => plain(from.readBigUInt64LE(at))],
  int64: [8, (from, at) => plain(from.readBigInt64LE(at))],
  float64: [8, (from, at) => from.readDoubleLE(at)],
};

function plain(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function readValue(bytes: HeaderBytes, what: string, fail: Fail): GgufValue {
  const kind = readKind(bytes, what, fail);
  if (kind !== "array") return readScalar(bytes, kind, what, fail);
  const element = readKind(bytes, `the elements of ${what}`, fail);
  if (element === "array") fail(`${what} is an array of arrays`);
  const width = numbers[element]?.[0] ?? (element === "bool" ? 1 : 8);
  const count = readCount(bytes, `elements of ${what}`, { minBytes: width, most: MAX_ELEMENTS }, fail);
  const fixed = numbers[element];
  if (fixed) {
    const all = bytes.take(count * width, what);
    return Array.from({ length: count }, (_, index) => fixed[1](all, index * width));
  }
  const values: (number | bigint | boolean | string)[] = [];
  for (let index = 0; index < count; index++) values.push(readScalar(bytes, element, what, fail));
  return values;
}

function readKind(bytes: HeaderBytes, what: string, fail: Fail): ValueKind {
  const id = bytes.take(4, `the kind of ${what}`).readUInt32LE();
  return valueKinds[id] ?? fail(`${what} is of the unknown kind ${id}; there are 0 to ${valueKinds.length - 1}`);
}

function readScalar(bytes: HeaderBytes, kind: ValueKind, what: string, fail: Fail): number | bigint | boolean | string {
  if (kind === "string") return readString(bytes, what, fail);
  const fixed = numbers[kind];
  if (fixed) return fixed[1](bytes.take(fixed[0], what), 0);
  const value = bytes.take(1, what).readUInt8();
  if (value > 1) fail(`${what} is ${value}, but a truth value is 0 or 1`);
  return value === 1;
}

/** A tensor without its place in the file: `offset` counts from where the data begins. */
interface Described extends Pick<GgufEntry, "type" | "shape" | "bytes"> {
  readonly offset: bigint;
}

function readTensor(bytes: HeaderBytes, what: string, fail: Fail): Described {
  const dimensions = bytes.take(4, what).readUInt32LE();
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    fail(`${what} has ${dimensions} dimensions; there may be 1 to ${MAX_DIMENSIONS}`);
  }
  const sizes = Array.from({ length: dimensions }, () => bytes.take(8, what).readBigUInt64LE());
  const elements = sizes.reduce((product, size) => product * size, 1n);
  if (elements === 0n || elements > BigInt(Number.MAX_SAFE_INTEGER)) {
    fail(`${what} is said to be of ${sizes.join(" x ")} elements`);
  }
  const id = bytes.take(4, what).readUInt32LE();
  const type = ggmlType(id) ?? fail(`${what} is of the unknown type ${id}`);
  const shape = sizes.map(Number).reverse();
  if (shape.at(-1)! % type.elements !== 0) {
    fail(`${what} has rows of ${shape.at(-1)}, but ${type.name} stores blocks of ${type.elements}`);
  }
  const offset = bytes.take(8, what).readBigUInt64LE();
  return { type, shape, bytes: (Number(elements) / type.elements) * type.bytes, offset };
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, fail: Fail): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  const isPossible =
    typeof alignment === "number" &&
    alignment >= 8 &&
    alignment <= MAX_ALIGNMENT &&
    Number.isInteger(Math.log2(alignment));
  return isPossible
    ? alignment
    : fail(`general.alignment is ${String(alignment)}; it must be a power of two from 8 to ${MAX_ALIGNMENT}`);
}

function placed(
  described: ReadonlyMap<string, Described>,
  dataStart: number,
  alignment: number,
  fileBytes: number,
  fail: Fail,
): Map<string, GgufEntry> {
  const entries = new Map<string, GgufEntry>();
  for (const [name, { type, shape, bytes, offset }] of described) {
    const about = `tensor ${JSON.stringify(name)}`;
    if (offset % BigInt(alignment) !== 0n) fail(`${about} begins at ${offset}, which is no multiple of ${alignment}`);
    if (BigInt(dataStart + bytes) + offset > BigInt(fileBytes)) {
      fail(
        `${about} takes ${bytes} bytes from ${BigInt(dataStart) + offset} on, but the file ends at ${fileBytes}: it may have been cut off`,
      );
    }
    entries.set(name, { type, shape, begin: dataStart + Number(offset), bytes });
  }
  const inOrder = [...entries].sort(([, a], [, b]) => a.begin - b.begin);
  for (const [index, [name, entry]] of inOrder.entries()) {
    const before = inOrder[index - 1];
    if (before && entry.begin < before[1].begin + before[1].bytes) {
      fail(`tensor ${JSON.stringify(name)} begins inside of ${JSON.stringify(before[0])}`);
    }
  }
  return entries;
}
