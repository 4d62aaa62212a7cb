import { ConfigError } from "../errors.js";
import { type Canvas, onCanvas } from "./canvas.js";
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
  return normalise(squareOf(image, settings), settings);
}

/** @returns (3, height, width): (value / 255 - mean) / std */
export function normalise(
  { width, height, data }: RgbImage,
  { mean, std }: Pick<Preprocessing, "mean" | "std">,
): Float32Array {
  const plane = width * height;
  const pixelValues = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    for (let at = 0; at < plane; at++) {
      pixelValues[channel * plane + at] = (data[at * 3 + channel]! / 255 - mean[channel]!) / std[channel]!;
    }
  }
  return pixelValues;
}

/**
 * The square of (size, size) that an encoder sees of a picture. However long and thin the picture is, no more of it is
 * computed than the square shows.
 * @throws ConfigError when the size is not a positive whole number
 */
export function squareOf(image: RgbImage, settings: Preprocessing): RgbImage {
  const { size, mode, mean, resampling, shortestEdge = size } = settings;
  if (!Number.isInteger(size) || size < 1) {
    throw new ConfigError(`preprocess: size is ${size}; give the encoder's image size in whole pixels.`);
  }
  if (mode === "crop") {
    const shorter = Math.min(image.width, image.height);
    const side = (length: number) => Math.trunc((shortestEdge * length) / shorter);
    return middleOf(image, { width: side(image.width), height: side(image.height), resampling }, size);
  }
  const background = settings.background ?? mean.map((part) => Math.floor(part * 255));
  return resize(image, size, size, resampling, mode === "pad" ? { canvas: squareCanvas(image, background) } : {});
}

/** The square in the middle of a resized picture, black where it reaches over the border. */
function middleOf(
  image: RgbImage,
  resized: { width: number; height: number; resampling: Resampling | undefined },
  size: number,
): RgbImage {
  const { width, height, resampling } = resized;
  const top = Math.floor((height - size) / 2);
  const left = Math.floor((width - size) / 2);
  const [from, to] = [Math.max(0, left), Math.min(width, left + size)];
  const [first, last] = [Math.max(0, top), Math.min(height, top + size)];
  const part = { left: from, top: first, width: to - from, height: last - first };
  const shown = resize(image, width, height, resampling, { part });
  return onCanvas(shown, { width: size, height: size, left: from - left, top: first - top, background: [0, 0, 0] });
}

/** The picture in the middle of a square of its longer side; a spare pixel goes below or to the right. */
export function padToSquare(image: RgbImage, background: readonly number[]): RgbImage {
  return onCanvas(image, squareCanvas(image, background));
}

function squareCanvas({ width, height }: RgbImage, background: readonly number[]): Canvas {
  const side = Math.max(width, height);
  const middle = (length: number) => Math.floor((side - length) / 2);
  return { width: side, height: side, left: middle(width), top: middle(height), background };
}
