import { closeSync } from "node:fs";
import { dtypeBytes } from "../dtype.js";
import { CheckpointError } from "../errors.js";
import { openFile } from "../files.js";
import * as F from "../operators.generated.js";
import { readBytes } from "../read-bytes.js";
import { noGrad, tidy } from "../scope.js";
import type { Tensor } from "../tensor.js";
import { headerLength, parseHeader, type SafetensorsEntry } from "./header.js";

/** What a safetensors file holds. The tensors belong to whoever read them. */
export interface Safetensors {
  /** By name, in the order of the header. */
  readonly tensors: Map<string, Tensor>;
  /** The file's own notes: the `__metadata__` of the format. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** What a safetensors file says of its tensors. */
export interface SafetensorsHeader {
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the data begins, in bytes from the start of the file. */
  readonly dataStart: number;
  readonly fileBytes: number;
}

/**
 * The tensors of a safetensors file, in host memory, by name. The file is mapped: bytes are read from disk when they are
 * used, and writing to a tensor changes neither the file nor another reader. A tensor whose bytes are not aligned to its
 * dtype is copied. While the tensors live the file may be replaced (as `writeSafetensors` does) but must not be
 * shortened in place.
 * @throws CheckpointError when the file can't be read or is malformed
 */
export function readSafetensors(path: string): Safetensors {
  const { entries, metadata, dataStart, fileBytes } = readSafetensorsHeader(path);
  return noGrad(() =>
    tidy(() => {
      const file = F.fromFile(path, false, fileBytes, "uint8");
      const tensors = new Map<string, Tensor>();
      for (const [name, entry] of entries) tensors.set(name, tensorAt(file, dataStart, entry));
      return { tensors, metadata };
    }),
  );
}

/** What a file says of its tensors, checked as `readSafetensors` does, without reading one. @throws CheckpointError */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  let descriptor: number | undefined;
  try {
    const opened = openFile(path);
    descriptor = opened.descriptor;
    const fileBytes = opened.bytes;
    const length = headerLength(readBytes(descriptor, 0, 8), fileBytes, path);
    const dataStart = 8 + length;
    const header = parseHeader(readBytes(descriptor, 8, length), fileBytes - dataStart, path);
    return { ...header, dataStart, fileBytes };
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${path}: can't be read: ${(cause as Error).message}`, { cause });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function tensorAt(file: Tensor, dataStart: number, { dtype, shape, begin, end }: SafetensorsEntry): Tensor {
  if (begin === end) return F.empty(shape, dtype);
  const bytes = file.narrow(0, dataStart + begin, end - begin);
  // A mapping begins on a page, so the offset alone decides.
  const isAligned = (dataStart + begin) % dtypeBytes(dtype) === 0;
  return (isAligned ? bytes : bytes.clone()).bitcast(dtype).view(shape);
}
