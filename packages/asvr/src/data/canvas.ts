import type { RgbImage } from "./images.js";

/** A sheet of one colour that a picture lies on. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  /** Where the picture begins on it. */
  readonly left: number;
  readonly top: number;
  /** Red, green, blue, 0 to 255. */
  readonly background: readonly number[];
}

/** A rectangle of a picture. */
export interface PicturePart {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The canvas with the picture on it; the same picture where it covers the canvas. */
export function onCanvas(image: RgbImage, { width, height, left, top, background }: Canvas): RgbImage {
  if (image.width === width && image.height === height) return image;
  const whole = evenPicture(width, height, background);
  const line = image.width * 3;
  for (let row = 0; row < image.height; row++) {
    whole.data.set(image.data.subarray(row * line, (row + 1) * line), ((top + row) * width + left) * 3);
  }
  return whole;
}

/** A rectangle cut out of a picture; the same picture where that is all of it. */
export function partOf(image: RgbImage, { left, top, width, height }: PicturePart): RgbImage {
  if (image.width === width && image.height === height) return image;
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const from = ((top + row) * image.width + left) * 3;
    data.set(image.data.subarray(from, from + width * 3), row * width * 3);
  }
  return { width, height, data };
}

export function evenPicture(width: number, height: number, colour: readonly number[]): RgbImage {
  const data = new Uint8Array(width * height * 3);
  data.set(colour.slice(0, Math.min(3, data.length)));
  // What is filled is copied behind itself: a large canvas takes a few copies.
  for (let filled = 3; filled < data.length; filled *= 2) data.copyWithin(filled, 0, filled);
  return { width, height, data };
}
