import { ConfigError } from "../errors.js";
import type { RgbImage } from "./images.js";
import { type Resampling, resize } from "./resize.js";

/** How a picture becomes a vision encoder's input. */
export interface Preprocessing {
  /** Side of the square that the encoder sees, in pixels. */
  size: number;
  /**
   * Stretch the picture to the square, set it in the middle of one first, or bring its shorter side to `shortestEdge`
   * and cut the middle out, as CLIP does.
   */
  mode: "resize" | "pad" | "crop";
  /** Default: `size`. */
  shortestEdge?: number;
  /** Default: bicubic. */
  resampling?: Resampling;
  /** Of red, green, blue, on the scale of 0 to 1. */
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
  /** Colour of the padding, 0 to 255; without it the mean, as in LLaVA. */
  background?: readonly [number, number, number];
}

/** SigLIP's own numbers. */
export const siglipPreprocessing: Preprocessing = {
  size: 384,
  mode: "resize",
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.5, 0.5],
};

/**
 * Resizes and normalises a picture.
 * @returns (3, size, size): (value / 255 - mean) / std
 * @throws ConfigError when the size is not a positive whole number
 */
export function preprocess(image: RgbImage, settings: Preprocessing): Float32Array {
  const { size, mean, std } = settings;
  if (!Number.isInteger(size) || size < 1) {
    throw new ConfigError(`preprocess: size is ${size}; give the encoder's image size in whole pixels.`);
  }
  const { data } = squareOf(image, settings);
  const plane = size * size;
  const pixelValues = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    for (let at = 0; at < plane; at++) {
      pixelValues[channel * plane + at] = (data[at * 3 + channel]! / 255 - mean[channel]!) / std[channel]!;
    }
  }
  return pixelValues;
}

function squareOf(image: RgbImage, settings: Preprocessing): RgbImage {
  const { size, mode, mean, resampling, shortestEdge = size } = settings;
  if (mode === "crop") {
    const shorter = Math.min(image.width, image.height);
    const side = (length: number) => Math.trunc((shortestEdge * length) / shorter);
    return middleOf(resize(image, side(image.width), side(image.height), resampling), size);
  }
  const background = settings.background ?? mean.map((part) => Math.floor(part * 255));
  return resize(mode === "pad" ? padToSquare(image, background) : image, size, size, resampling);
}

/** The square in the middle of a picture, black where it reaches over the border. */
function middleOf({ width, height, data }: RgbImage, size: number): RgbImage {
  const top = Math.floor((height - size) / 2);
  const left = Math.floor((width - size) / 2);
  const middle = new Uint8Array(size * size * 3);
  const columns = { from: Math.max(0, left), to: Math.min(width, left + size) };
  for (let row = Math.max(0, top); row < Math.min(height, top + size); row++) {
    const line = data.subarray((row * width + columns.from) * 3, (row * width + columns.to) * 3);
    middle.set(line, ((row - top) * size + columns.from - left) * 3);
  }
  return { width: size, height: size, data: middle };
}

/** The picture in the middle of a square of its longer side; a spare pixel goes below or to the right. */
export function padToSquare(image: RgbImage, background: readonly number[]): RgbImage {
  const { width, height, data } = image;
  if (width === height) return image;
  const side = Math.max(width, height);
  const left = Math.floor((side - width) / 2);
  const top = Math.floor((side - height) / 2);
  const padded = Uint8Array.from({ length: side * side * 3 }, (_, at) => background[at % 3]!);
  for (let row = 0; row < height; row++) {
    const line = data.subarray(row * width * 3, (row + 1) * width * 3);
    padded.set(line, ((top + row) * side + left) * 3);
  }
  return { width: side, height: side, data: padded };
}
