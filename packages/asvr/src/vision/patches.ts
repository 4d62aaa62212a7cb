import { ShapeError, type Tensor } from "@asvr/torch";

/**
 * Cuts pictures into square patches, row by row. Within a patch the order is that of a convolution's weight: channel,
 * row, column.
 * @param pixelValues (batch, channels, height, width)
 * @returns (batch, patches, channels·patchSize²)
 * @throws ShapeError when a side is no multiple of `patchSize`
 */
export function unfoldPatches(pixelValues: Tensor, patchSize: number): Tensor {
  const [batch, channels, height, width] = pixelValues.shape as [number, number, number, number];
  if (pixelValues.shape.length !== 4 || height % patchSize !== 0 || width % patchSize !== 0) {
    throw new ShapeError(
      `unfoldPatches: pixelValues is (${pixelValues.shape.join(", ")}), expected (batch, channels, height, width) ` +
        `with both sides multiples of the patch size, ${patchSize}`,
    );
  }
  const [rows, columns] = [height / patchSize, width / patchSize];
  return pixelValues
    .reshape([batch, channels, rows, patchSize, columns, patchSize])
    .permute([0, 2, 4, 1, 3, 5])
    .reshape([batch, rows * columns, channels * patchSize * patchSize]);
}

/**
 * The inverse of `unfoldPatches` for square pictures of three channels.
 * @param patches (batch, patches, 3·patchSize²)
 * @returns (batch, 3, side, side)
 * @throws ShapeError when the number of patches is no square, or their width another
 */
export function foldPatches(patches: Tensor, patchSize: number): Tensor {
  const [batch, count, patchDim] = patches.shape as [number, number, number];
  const grid = Math.round(Math.sqrt(count));
  if (patches.shape.length !== 3 || grid * grid !== count || patchDim !== 3 * patchSize * patchSize) {
    throw new ShapeError(
      `foldPatches: patches is (${patches.shape.join(", ")}), expected (batch, a square number, ${3 * patchSize * patchSize})`,
    );
  }
  return patches
    .reshape([batch, grid, grid, 3, patchSize, patchSize])
    .permute([0, 3, 1, 4, 2, 5])
    .reshape([batch, 3, grid * patchSize, grid * patchSize]);
}

/** @throws ShapeError unless pixelValues is (batch, 3, height, width) with both sides multiples of the patch size */
export function requireWholePatches(tower: string, pixelValues: Tensor, patchSize: number): void {
  const { shape } = pixelValues;
  const isWhole = (side = 0) => side > 0 && side % patchSize === 0;
  if (shape.length === 4 && shape[1] === 3 && isWhole(shape[2]) && isWhole(shape[3])) return;
  throw new ShapeError(
    `${tower}: pixelValues is (${shape.join(", ")}), this tower takes (batch, 3, height, width) with both sides ` +
      `multiples of the patch size, ${patchSize}`,
  );
}
