import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { threadId } from "node:worker_threads";
import { dtypeBytes, safetensorsName } from "../dtype.js";
import { CheckpointError } from "../errors.js";
import { native } from "../native.js";
import { noGrad, tidy } from "../scope.js";
import type { Tensor } from "../tensor.js";
import { MAX_HEADER_BYTES, METADATA_KEY } from "./header.js";

const CHUNK_BYTES = 8 << 20;

/**
 * Writes tensors of any device to a safetensors file. It appears whole or not at all: under a temporary name beside
 * `path` first, then forced to the disk and renamed. Equal tensors and metadata give equal bytes, whatever their order.
 * A few megabytes of memory are needed beside the tensors.
 * @throws CheckpointError for a name that the format does not allow; errors of the file system as they are
 */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  if (tensors.has(METADATA_KEY)) throw new CheckpointError(`${path}: a tensor can't be named ${METADATA_KEY}`);
  const ordered = inFileOrder(tensors);
  const header = headerBytes(path, ordered, metadata);
  const temporary = `${path}.${process.pid}.${threadId}.partial`;
  const descriptor = openSync(temporary, "w");
  try {
    try {
      writeWhole(descriptor, header);
      for (const [, tensor] of ordered) writeTensor(descriptor, tensor);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** Wide dtypes first, then by name: so every tensor is aligned. The reference implementation writes the same order. */
function inFileOrder(tensors: ReadonlyMap<string, Tensor>): [string, Tensor][] {
  const width = (tensor: Tensor) => dtypeBytes(tensor.dtype);
  return [...tensors].sort(([a, x], [b, y]) => width(y) - width(x) || (a < b ? -1 : 1));
}

function headerBytes(path: string, tensors: [string, Tensor][], metadata: Readonly<Record<string, string>>): Buffer {
  const parts: string[] = [];
  const part = (key: string, value: unknown) => parts.push(`${JSON.stringify(key)}:${JSON.stringify(value)}`);
  const pairs = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (pairs.length > 0) part(METADATA_KEY, Object.fromEntries(pairs));
  let offset = 0;
  for (const [name, tensor] of tensors) {
    const { dtype, shape } = tensor;
    const end = offset + tensor.elementCount * dtypeBytes(dtype);
    part(name, { dtype: safetensorsName(dtype), shape, data_offsets: [offset, end] });
    offset = end;
  }
  const text = Buffer.from(`{${parts.join(",")}}`);
  const padded = Math.ceil(text.length / 8) * 8; // the data begins aligned to the widest dtype
  if (padded > MAX_HEADER_BYTES) {
    throw new CheckpointError(
      `${path}: names and metadata take ${padded} bytes, the format allows ${MAX_HEADER_BYTES}`,
    );
  }
  const bytes = Buffer.alloc(8 + padded, " ");
  bytes.writeBigUInt64LE(BigInt(padded));
  text.copy(bytes, 8);
  return bytes;
}

function writeTensor(descriptor: number, tensor: Tensor): void {
  noGrad(() =>
    tidy(() => {
      if (tensor.elementCount === 0) return;
      const elements = tensor.to({ device: "cpu" }).contiguous().view([-1]);
      const width = dtypeBytes(tensor.dtype);
      const total = elements.elementCount;
      for (let start = 0; start < total; start += CHUNK_BYTES / width) {
        const count = Math.min(CHUNK_BYTES / width, total - start);
        const bytes = new Uint8Array(count * width);
        tidy(() => native.copyToArray(elements.narrow(0, start, count).handle, bytes));
        writeWhole(descriptor, bytes);
      }
    }),
  );
}

/** One write may take less than it was given. */
function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
}

/** Makes the renaming itself survive a power failure. */
function syncFolder(folder: string): void {
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
