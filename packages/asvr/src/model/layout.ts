import { F, type Tensor, tensor, tidy } from "@asvr/torch";
import type { PackedBatch } from "../data/packing.js";

/** A packed batch as tensors on a device: what the language model and the losses read. */
export interface BatchTensors {
  /** int64 (rows, length) */
  inputIds: Tensor;
  /** int64 (rows, length): rotary positions */
  positions: Tensor;
  /** bool (rows, 1, length, length): who sees whom */
  mask: Tensor;
  /** int64 (image tokens): flat index of every image token, pictures in the order of `images` */
  imagePositions: Tensor;
  /** Whether a document begins with its picture: no token before it could predict its first codes. */
  beginsWithImage: boolean;
  /** int64 (targets): flat index of the hidden state that predicts each target, and the target */
  targetPositions: Tensor;
  targetIds: Tensor;
}

/** Moves a batch to a device and makes its attention mask. The caller frees the tensors (a `tidy` does). */
export function batchTensors(batch: PackedBatch, device: string): BatchTensors {
  return tidy(() => {
    const { rows, length } = batch;
    const ids = (array: Int32Array, shape: readonly number[]) =>
      tensor(array, { shape }).to({ dtype: "int64", device });
    const grid = (array: Int32Array) => ids(array, [rows, length]);
    return {
      inputIds: grid(batch.inputIds),
      positions: grid(batch.positions),
      mask: visibilityMask(grid(batch.documents), grid(batch.segments)),
      imagePositions: ids(imagePositions(batch), [batch.images.reduce((sum, image) => sum + image.length, 0)]),
      beginsWithImage: batch.images.some(({ row, start }) => batch.positions[row * length + start] === 0),
      targetPositions: ids(batch.targets.positions, [batch.targets.positions.length]),
      targetIds: ids(batch.targets.ids, [batch.targets.ids.length]),
    };
  });
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
