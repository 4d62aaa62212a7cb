import { onCanvas, partOf } from "./canvas.js";
import type { RgbImage } from "./images.js";
import { resize } from "./resize.js";
import type { Tiling } from "./tiling.js";

/**
 * Cuts a picture as its tiling says: first the whole of it, brought to one tile without its aspect, then, row by row,
 * the tiles of the black canvas that it lies in the middle of, aspect kept.
 * @returns 1 + rows · columns pictures of (tileSize, tileSize)
 */
export function tilesOf(image: RgbImage, { canvas, resized, tiles }: Tiling, tileSize: number): RgbImage[] {
  const shown = resize(image, resized.width, resized.height);
  const whole = onCanvas(shown, {
    ...canvas,
    left: Math.floor((canvas.width - resized.width) / 2),
    top: Math.floor((canvas.height - resized.height) / 2),
    background: [0, 0, 0],
  });
  const tile = (at: number): RgbImage => {
    const [row, column] = [Math.floor(at / tiles.columns), at % tiles.columns];
    return partOf(whole, { left: column * tileSize, top: row * tileSize, width: tileSize, height: tileSize });
  };
  return [
    resize(image, tileSize, tileSize),
    ...Array.from({ length: tiles.rows * tiles.columns }, (_, at) => tile(at)),
  ];
}
