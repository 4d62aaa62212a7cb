import { statSync } from "node:fs";
import { call } from "../call.js";
import { type DType, dtypeBytes } from "../dtype.js";
import { CheckpointError } from "../errors.js";
import * as F from "../operators.generated.js";
import { keep, noGrad, tidy } from "../scope.js";
import type { Tensor } from "../tensor.js";

/** Where the elements of one tensor lie in a file. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Elements from one to the next of each dimension; null for row-major. */
  readonly strides: readonly number[] | null;
  /** Byte of the file at which the first element begins. */
  readonly begin: number;
  /** From the first element to the end of the last; 0 for a tensor without elements. */
  readonly bytes: number;
}

/** A file of weights: what it holds, and its bytes, mapped. */
export interface StoredFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** All bytes of the file, uint8. Reading takes place where they are used. */
  readonly mapped: Tensor;
}

/**
 * Maps a file whose tensors `read` finds. It is mapped at once, since it might be another file later on.
 * @throws CheckpointError when it is no file, or became another between reading and mapping
 */
export function storedFile<Found extends Pick<StoredFile, "tensors">>(
  path: string,
  read: () => Found,
): Found & StoredFile {
  const before = identity(path);
  const found = read();
  let mapped: Tensor;
  try {
    mapped = noGrad(() => keep(F.fromFile(path, false, before.bytes, "uint8")));
  } catch (cause) {
    throw new CheckpointError(`${path}: can't be mapped: ${(cause as Error).message}`, { cause });
  }
  if (identity(path).text !== before.text) {
    mapped.dispose();
    throw new CheckpointError(`${path}: the file was replaced or written to while it was being opened`);
  }
  return { ...found, path, mapped };
}

function identity(path: string): { text: string; bytes: number } {
  let stats: ReturnType<typeof statSync>;
  try {
    stats = statSync(path);
  } catch (cause) {
    throw new CheckpointError(`${path}: can't be read: ${(cause as Error).message}`, { cause });
  }
  if (!stats.isFile()) throw new CheckpointError(`${path}: this is no file`);
  return { text: [stats.dev, stats.ino, stats.size, stats.mtimeMs].join(), bytes: stats.size };
}

/**
 * The tensor that lies there, on the mapped bytes. One that is not aligned to its dtype is copied, and nothing more of
 * the file than its own span.
 */
export function tensorAt(mapped: Tensor, { dtype, shape, strides, begin, bytes }: StoredTensor): Tensor {
  return noGrad(() =>
    tidy(() => {
      if (bytes === 0) return F.empty(shape, dtype);
      // A mapping begins on a page, so the place in the file alone decides.
      const isAligned = begin % dtypeBytes(dtype) === 0;
      const span = mapped.narrow(0, begin, bytes);
      const elements = (isAligned ? span : span.clone()).bitcast(dtype);
      if (!strides) return elements.view(shape);
      // The offset of as_strided counts from the start of the memory, not of the view.
      const offset = isAligned ? begin / dtypeBytes(dtype) : 0;
      return call("aten::as_strided", elements, shape, strides, offset) as Tensor;
    }),
  );
}
