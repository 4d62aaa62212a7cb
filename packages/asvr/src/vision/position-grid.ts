import { type Tensor, tidy } from "@asvr/torch";

/** How a table of positions is brought to another grid. */
export type GridResizing =
  /** Bilinear, over as many old positions as lie under a new one: SigLIP 2. */
  | "bilinear-antialiased"
  /** Bicubic, by the ratio of the two sizes: DINOv2 in a current transformers. */
  | "bicubic"
  /** Bicubic, by a ratio that is taken of a size 0.1 larger: DINOv2's own code, Depth Anything's, transformers to 4.44. */
  | "bicubic-offset";

/**
 * Learned positions of a square grid, for pictures of another grid. In float32; the result has the table's dtype.
 * @param table (side², dim), row by row
 * @returns (rows·columns, dim)
 */
export function resizePositions(table: Tensor, rows: number, columns: number, resizing: GridResizing): Tensor {
  return tidy(() => {
    const [count, dim] = table.shape as [number, number];
    const side = Math.round(Math.sqrt(count));
    if (rows === side && columns === side) return table.view([count, dim]);
    const grid = table.to("float32").t().reshape([1, dim, side, side]);
    const resized = resize(grid, side, rows, columns, resizing);
    return resized.flatten(2).select(0, 0).t().to(table.dtype);
  });
}

function resize(grid: Tensor, side: number, rows: number, columns: number, resizing: GridResizing): Tensor {
  switch (resizing) {
    case "bilinear-antialiased":
      return grid.upsampleBilinear2dAa([rows, columns], false);
    case "bicubic":
      return grid.upsampleBicubic2d([rows, columns], false);
    case "bicubic-offset":
      return grid.upsampleBicubic2d([rows, columns], false, (rows + 0.1) / side, (columns + 0.1) / side);
  }
}
