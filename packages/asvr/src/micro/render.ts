import { type Assets, DIGIT_SIZE, type Photo, PLATE_MARGIN } from "./assets.js";
import type { Crop, Plate, Scene } from "./scene.js";
import { IMAGE_SIZE } from "./world.js";

const CORNER_RADIUS = 5;
/** MNIST leaves a border of 4 empty pixels around a digit; most of it is cut away. */
const DIGIT_BORDER = 3;

/** Draws a scene. @returns (56, 56, 3), red, green, blue in [0, 255] */
export function renderScene(scene: Scene, assets: Assets): Uint8Array {
  const pixels = new Uint8Array(IMAGE_SIZE * IMAGE_SIZE * 3);
  drawBackground(pixels, assets.photographs[scene.crop.region]![scene.crop.side], scene.crop);
  for (const { concept, vendor, plate } of scene.objects) {
    drawPlate(pixels, plate);
    drawEmoji(pixels, assets.drawing(concept, vendor, plate.size), plate);
  }
  if (scene.digit) {
    drawPlate(pixels, scene.digit.plate);
    drawDigit(pixels, assets.digits[scene.digit.value]![scene.digit.sample]!, scene.digit.plate);
  }
  return pixels;
}

/** Every pixel is the mean of the part of the photograph that it covers, whatever the size of the crop. */
function drawBackground(pixels: Uint8Array, photo: Photo, crop: Crop): void {
  const stride = (photo.width + 1) * 3;
  const edges = Array.from({ length: IMAGE_SIZE + 1 }, (_, i) => Math.floor((i * crop.size) / IMAGE_SIZE));
  for (let y = 0; y < IMAGE_SIZE; y++) {
    const top = (crop.y + edges[y]!) * stride;
    const bottom = (crop.y + edges[y + 1]!) * stride;
    for (let x = 0; x < IMAGE_SIZE; x++) {
      const left = (crop.x + edges[x]!) * 3;
      const right = (crop.x + edges[x + 1]!) * 3;
      const scale = crop.brightness / ((edges[y + 1]! - edges[y]!) * (edges[x + 1]! - edges[x]!));
      for (let channel = 0; channel < 3; channel++) {
        const { sums } = photo;
        const sum =
          sums[bottom + right + channel]! -
          sums[bottom + left + channel]! -
          sums[top + right + channel]! +
          sums[top + left + channel]!;
        pixels[(y * IMAGE_SIZE + x) * 3 + channel] = Math.min(255, Math.round(sum * scale));
      }
    }
  }
}

/** A filled square with round corners; a corner pixel is covered in part. */
function drawPlate(pixels: Uint8Array, { x, y, size, rgb }: Plate): void {
  const beyond = (at: number) => Math.max(CORNER_RADIUS - 0.5 - at, at - (size - CORNER_RADIUS - 0.5), 0);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const distance = Math.hypot(beyond(row), beyond(column));
      blend(pixels, x + column, y + row, rgb, Math.min(1, Math.max(0, CORNER_RADIUS + 0.5 - distance)));
    }
  }
}

/** @param drawing (size, size, 4) with straight alpha, size being that of the plate without its margins */
function drawEmoji(pixels: Uint8Array, drawing: Uint8Array, plate: Plate): void {
  const size = plate.size - 2 * PLATE_MARGIN;
  for (let i = 0; i < size * size; i++) {
    const x = plate.x + PLATE_MARGIN + (i % size);
    const y = plate.y + PLATE_MARGIN + Math.floor(i / size);
    blend(pixels, x, y, drawing.subarray(4 * i, 4 * i + 3), drawing[4 * i + 3]! / 255);
  }
}

const WHITE = [255, 255, 255];

/** @param ink (28, 28): how white each pixel is, scaled to the plate with bilinear weights */
function drawDigit(pixels: Uint8Array, ink: Uint8Array, plate: Plate): void {
  const size = plate.size - 2;
  const scale = (DIGIT_SIZE - 2 * DIGIT_BORDER) / size;
  const source = (at: number) => DIGIT_BORDER + (at + 0.5) * scale - 0.5;
  for (let row = 0; row < size; row++) {
    const top = Math.floor(source(row));
    const down = source(row) - top;
    for (let column = 0; column < size; column++) {
      const left = Math.floor(source(column));
      const along = source(column) - left;
      const at = top * DIGIT_SIZE + left;
      const upper = ink[at]! * (1 - along) + ink[at + 1]! * along;
      const lower = ink[at + DIGIT_SIZE]! * (1 - along) + ink[at + DIGIT_SIZE + 1]! * along;
      blend(pixels, plate.x + 1 + column, plate.y + 1 + row, WHITE, (upper * (1 - down) + lower * down) / 255);
    }
  }
}

function blend(pixels: Uint8Array, x: number, y: number, rgb: ArrayLike<number>, share: number): void {
  const at = (y * IMAGE_SIZE + x) * 3;
  for (let channel = 0; channel < 3; channel++) {
    const below = pixels[at + channel]!;
    pixels[at + channel] = Math.round(below + (rgb[channel]! - below) * share);
  }
}
