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
  const top = Math.floor((canvas.height - resized.height) / 2);
  const left = Math.floor((canvas.width - resized.width) / 2);
  const whole = new Uint8Array(canvas.width * canvas.height * 3);
  for (let row = 0; row < shown.height; row++) {
    const line = shown.data.subarray(row * shown.width * 3, (row + 1) * shown.width * 3);
    whole.set(line, ((top + row) * canvas.width + left) * 3);
  }
  const tile = (at: number): RgbImage => {
    const [row, column] = [Math.floor(at / tiles.columns), at % tiles.columns];
    const data = new Uint8Array(tileSize * tileSize * 3);
    for (let line = 0; line < tileSize; line++) {
      const from = ((row * tileSize + line) * canvas.width + column * tileSize) * 3;
      data.set(whole.subarray(from, from + tileSize * 3), line * tileSize * 3);
    }
    return { width: tileSize, height: tileSize, data };
  };
  return [
    resize(image, tileSize, tileSize),
    ...Array.from({ length: tiles.rows * tiles.columns }, (_, at) => tile(at)),
  ];
}
