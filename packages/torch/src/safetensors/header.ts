import { type DType, dtypeBytes, dtypeOfSafetensors } from "../dtype.js";
import { CheckpointError } from "../errors.js";
import { duplicateKey } from "./duplicate-key.js";

/** Where one tensor lies: `begin` and `end` count bytes from the start of the file's data, after the header. */
export interface SafetensorsEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The format's own limit: a longer header is an attempt to exhaust memory. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Quotes or commas of a header. A tensor has fourteen quotes; the largest shards have some ten thousand tensors. */
const MAX_MARKS = 2_000_000;
export const METADATA_KEY = "__metadata__";

/**
 * The length of the header, from the file's first eight bytes.
 * @throws CheckpointError when the file can't hold such a header
 */
export function headerLength(first: Uint8Array, fileBytes: number, file: string): number {
  if (first.length < 8) {
    throw new CheckpointError(
      `${file}: ${first.length} bytes are too few for a safetensors file: 8 give its header's length`,
    );
  }
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw new CheckpointError(
      `${file}: a header of ${length} bytes is announced, ${MAX_HEADER_BYTES} are allowed. This is no safetensors file.`,
    );
  }
  if (8 + Number(length) > fileBytes) {
    throw new CheckpointError(
      `${file}: a header of ${length} bytes is announced, but the file has only ${fileBytes}. It may have been cut off.`,
    );
  }
  return Number(length);
}

/**
 * Reads a header and checks all that could make a reader look outside of the file or at one byte twice.
 * @param bytes the header alone
 * @param dataBytes the bytes of the file after the header
 * @throws CheckpointError that names file, tensor and what is wrong
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, file: string): Header {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${file}: ${problem}`);
  };
  const { [METADATA_KEY]: metadata = {}, ...described } = parseObject(bytes, fail);
  if (!isObject(metadata) || Object.values(metadata).some((value) => typeof value !== "string")) {
    fail(`${METADATA_KEY} is not a map from text to text`);
  }
  const entries = new Map<string, SafetensorsEntry>();
  for (const [name, value] of Object.entries(described)) {
    entries.set(
      name,
      entryOf(value, (problem) => fail(`tensor ${quoted(name)}: ${problem}`)),
    );
  }
  requireGapless(entries, dataBytes, fail);
  return { entries, metadata: metadata as Record<string, string> };
}

type Fail = (problem: string) => never;

const MAX_QUOTED = 200;

/** A value of a file as a message shows it: JSON, cut where it is long. */
function quoted(value: unknown): string {
  const text = String(JSON.stringify(value));
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
}

function parseObject(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  if (bytes[0] !== 0x7b) fail("the header does not begin with '{'");
  requireModest(bytes, fail);
  let parsed: unknown;
  let text = "";
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    parsed = JSON.parse(text);
  } catch (error) {
    fail(`the header is not JSON: ${(error as Error).message}`);
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) fail(`the header has the key ${quoted(twice)} twice`);
  return parsed as Record<string, unknown>;
}

/** Small parts cost far more than their bytes once they are parsed: they are counted before that. */
function requireModest(bytes: Uint8Array, fail: Fail): void {
  let quotes = 0;
  let commas = 0;
  for (const byte of bytes) {
    if (byte === 0x22) quotes++;
    else if (byte === 0x2c) commas++;
  }
  if (Math.max(quotes, commas) > MAX_MARKS) {
    fail(`its header has ${quotes} quotes and ${commas} commas, more than any model's (${MAX_MARKS})`);
  }
}

function entryOf(value: unknown, fail: Fail): SafetensorsEntry {
  if (!isObject(value)) return fail("its description is not an object");
  const { dtype: dtypeName, shape, data_offsets: offsets } = value;
  const dtype = typeof dtypeName === "string" ? dtypeOfSafetensors(dtypeName) : undefined;
  if (!dtype) {
    const hint = /^F[48]/.test(String(dtypeName))
      ? ": its numbers are quantised; give the model in bfloat16 or float16"
      : "";
    return fail(`dtype ${quoted(dtypeName)} is not one that can be read here${hint}`);
  }
  if (!isSizes(shape)) return fail(`shape ${quoted(shape)} is not a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2) return fail(`data_offsets ${quoted(offsets)} is not a range`);
  const [begin, end] = offsets as [number, number];
  if (begin > end) fail(`it ends at byte ${end}, before it begins at ${begin}`);
  let bytes = dtypeBytes(dtype);
  for (const size of shape) {
    bytes *= size;
    if (!Number.isSafeInteger(bytes)) return fail(`shape (${shape.join(", ")}) has more elements than can be counted`);
  }
  if (bytes !== end - begin) {
    fail(`${dtypeName} of shape (${shape.join(", ")}) takes ${bytes} bytes, its data_offsets span ${end - begin}`);
  }
  return { dtype, shape, begin, end };
}

/** Every byte of the data belongs to exactly one tensor: no hole, no overlap, nothing appended. */
function requireGapless(entries: ReadonlyMap<string, SafetensorsEntry>, dataBytes: number, fail: Fail): void {
  let end = 0;
  const inOrder = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  for (const [name, entry] of inOrder) {
    const label = `tensor ${JSON.stringify(name)}`;
    if (entry.begin < end) fail(`${label}: it begins at byte ${entry.begin}, inside of another that ends at ${end}`);
    if (entry.begin > end)
      fail(`${label}: it begins at byte ${entry.begin}, but the one before it ends at ${end}: a hole`);
    if (entry.end > dataBytes) {
      fail(
        `${label}: it ends at byte ${entry.end} of the data, which has only ${dataBytes}. The file may have been cut off.`,
      );
    }
    end = entry.end;
  }
  if (end !== dataBytes) fail(`${dataBytes - end} bytes after the last tensor belong to none`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
