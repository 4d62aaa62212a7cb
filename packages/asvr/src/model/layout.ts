import { F, type Tensor, tensor, tidy } from "@asvr/torch";
import type { PackedBatch } from "../data/packing.js";
import { ConfigError } from "../errors.js";
import type { Alignment } from "../supervision/supervision.js";

/** A packed batch as tensors on a device: what the language model reads. */
export interface BatchTensors {
  /** int64 (rows, length) */
  inputIds: Tensor;
  /** int64 (rows, length): rotary positions */
  positions: Tensor;
  /** bool (rows, 1, length, length): who sees whom */
  mask: Tensor;
  /** int64 (image tokens): flat index of every image token, pictures in the order of `images` */
  imagePositions: Tensor;
}

/** The hidden states that the losses of a batch read, so that no others are computed at the end. */
export interface Readout {
  /** int64 (rows, count): their columns. A row with fewer of them repeats one. */
  columns: Tensor;
  /** int64 (targets): flat index, in (rows, count), of the state that predicts each target; and the target. */
  targetStates: Tensor;
  targetIds: Tensor;
  /** int64 (image tokens): that of the state that predicts the codes of each; null where nothing does. */
  imageStates: Tensor | null;
}

/** Moves a batch to a device and makes its attention mask. The caller frees the tensors (a `tidy` does). */
export function batchTensors(batch: PackedBatch, device: string): BatchTensors {
  return tidy(() => {
    const { rows, length } = batch;
    const grid = (array: Int32Array) => int64(array, device).view([rows, length]);
    return {
      inputIds: grid(batch.inputIds),
      positions: grid(batch.positions),
      mask: visibilityMask(grid(batch.documents), grid(batch.segments)),
      imagePositions: int64(imagePositions(batch), device),
    };
  });
}

/**
 * @param alignment which hidden state predicts the codes of an image position; null where none does
 * @throws ConfigError with alignment "next" where a document begins with its picture
 */
export function readoutOf(batch: PackedBatch, alignment: Alignment | null, device: string): Readout {
  const targets = batch.targets.positions;
  const images = alignment && imagePositions(batch);
  if (images && alignment === "next") {
    requireTokenBefore(batch);
    for (const [index, position] of images.entries()) images[index] = position - 1;
  }
  const { columns, count, stateAt } = readColumns(batch, images ? [...targets, ...images] : targets);
  const states = (positions: Int32Array) => int64(positions.map(stateAt), device);
  return tidy(() => ({
    columns: int64(columns, device).view([batch.rows, count]),
    targetStates: states(targets),
    targetIds: int64(batch.targets.ids, device),
    imageStates: images && states(images),
  }));
}

interface ReadColumns {
  columns: Int32Array;
  count: number;
  stateAt: (position: number) => number;
}

/** The columns of a readout: those of `positions`, which are flat indices, row by row. */
export function readColumns(
  { rows, length }: Pick<PackedBatch, "rows" | "length">,
  positions: Iterable<number>,
): ReadColumns {
  const byRow = Array.from({ length: rows }, () => new Map<number, number>()); // column -> its place
  for (const position of positions) {
    const places = byRow[Math.floor(position / length)]!;
    const column = position % length;
    if (!places.has(column)) places.set(column, places.size);
  }
  const count = Math.max(1, ...byRow.map(({ size }) => size));
  const columns = new Int32Array(rows * count);
  for (const [row, places] of byRow.entries()) columns.set([...places.keys()], row * count);
  const stateAt = (position: number) => {
    const row = Math.floor(position / length);
    return row * count + byRow[row]!.get(position % length)!;
  };
  return { columns, count, stateAt };
}

function requireTokenBefore({ images, positions, length }: PackedBatch): void {
  if (images.every(({ row, start }) => positions[row * length + start]! > 0)) return;
  throw new ConfigError(
    'with alignment "next" the token before a picture predicts its first codes, but a document begins with its ' +
      'picture. Use a tokenizer that starts every text with a token, or alignment "same".',
  );
}

function int64(values: Int32Array, device: string): Tensor {
  return tensor(values).to({ dtype: "int64", device });
}

/**
 * Token i sees token j where j is not later, both are of one document, and j is of the shared prefix (segment 0) or of
 * i's own segment. Padding (document -1) sees itself only: a row of the mask without any true would give NaN.
 * @param documents, segments int64 (rows, length)
 * @returns bool (rows, 1, length, length)
 */
export function visibilityMask(documents: Tensor, segments: Tensor): Tensor {
  return tidy(() => {
    const length = documents.size(1);
    const device = documents.device;
    const notLater = F.ones([length, length], "bool", device).tril();
    const itself = F.eye(length, "bool", device);
    const sameDocument = documents.unsqueeze(2).eq(documents.unsqueeze(1));
    const open = segments
      .unsqueeze(1)
      .eq(0)
      .logicalOr(segments.unsqueeze(2).eq(segments.unsqueeze(1)));
    const real = documents.ge(0).unsqueeze(2);
    const visible = sameDocument.logicalAnd(open).logicalAnd(notLater).logicalAnd(real);
    return visible.logicalOr(itself).unsqueeze(1);
  });
}

function imagePositions({ images, length }: PackedBatch): Int32Array {
  return Int32Array.from(
    images.flatMap(({ row, start, length: tokens }) =>
      Array.from({ length: tokens }, (_, i) => row * length + start + i),
    ),
  );
}
