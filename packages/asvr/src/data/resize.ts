import { ConfigError } from "../errors.js";
import type { RgbImage } from "./images.js";

/** How pixels are mixed: a cubic with a = −0.5, or a triangle. */
export type Resampling = "bicubic" | "bilinear";

interface Filter {
  /** Pixels on each side that have a weight, where the picture is not made smaller. */
  readonly support: number;
  readonly weight: (distance: number) => number;
}

const filters: Readonly<Record<Resampling, Filter>> = {
  bicubic: {
    support: 2,
    weight: (distance) => {
      const a = -0.5;
      const x = Math.abs(distance);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
  bilinear: { support: 1, weight: (distance) => Math.max(0, 1 - Math.abs(distance)) },
};

/** Weights are whole numbers of 2^-22: a sum of them with 8-bit values fits 32 bits. */
const FRACTION_BITS = 22;
const HALF = 1 << (FRACTION_BITS - 1);

/** Which pixels of a line make each new one, and how much of each. */
interface Weights {
  /** The first one, and how many. */
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** (new size, most): row after row. */
  readonly values: Int32Array;
  readonly most: number;
}

/**
 * A picture of the given size, to the pixel as Pillow's `resize` makes it: the filter grows with the reduction; lines
 * and columns are mixed one after the other, each rounded to 8 bits. libvips, which decodes our pictures, rounds otherwise, and
 * published encoders have learned from Pillow's. The same picture when the size is already right.
 * @throws ConfigError when a side is not a positive whole number
 */
export function resize(image: RgbImage, width: number, height: number, resampling: Resampling = "bicubic"): RgbImage {
  for (const side of [width, height]) {
    if (!Number.isInteger(side) || side < 1) {
      throw new ConfigError(`resize: ${width} x ${height} is no size in whole pixels`);
    }
  }
  const filter = filters[resampling];
  const [fewerRows, fewerColumns] = [image.height - height, image.width - width];
  // Pillow's rule, found by trying (13.0, 3,000 pairs of sizes): both passes round, so their order shows.
  return fewerRows > 0 && fewerRows > 2 * fewerColumns
    ? resizeLines(resizeColumns(image, height, filter), width, filter)
    : resizeColumns(resizeLines(image, width, filter), height, filter);
}

function resizeLines(image: RgbImage, width: number, filter: Filter): RgbImage {
  if (image.width === width) return image;
  const { width: before, height, data } = image;
  const { first, count, values, most } = weightsOf(before, width, filter);
  const resized = new Uint8Array(width * height * 3);
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0; column < width; column++, to += 3) {
      let [red, green, blue] = [HALF, HALF, HALF];
      let from = (row * before + first[column]!) * 3;
      for (let at = column * most, end = at + count[column]!; at < end; at++, from += 3) {
        const weight = values[at]!;
        red += data[from]! * weight;
        green += data[from + 1]! * weight;
        blue += data[from + 2]! * weight;
      }
      resized[to] = toByte(red);
      resized[to + 1] = toByte(green);
      resized[to + 2] = toByte(blue);
    }
  }
  return { width, height, data: resized };
}

function resizeColumns(image: RgbImage, height: number, filter: Filter): RgbImage {
  if (image.height === height) return image;
  const { width, height: before, data } = image;
  const { first, count, values, most } = weightsOf(before, height, filter);
  const line = width * 3;
  const resized = new Uint8Array(line * height);
  const sums = new Int32Array(line);
  for (let row = 0; row < height; row++) {
    sums.fill(HALF);
    for (let i = 0; i < count[row]!; i++) {
      const weight = values[row * most + i]!;
      const from = (first[row]! + i) * line;
      for (let at = 0; at < line; at++) sums[at]! += data[from + at]! * weight;
    }
    for (let at = 0; at < line; at++) resized[row * line + at] = toByte(sums[at]!);
  }
  return { width, height, data: resized };
}

function toByte(sum: number): number {
  const value = sum >> FRACTION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function weightsOf(before: number, after: number, { support, weight }: Filter): Weights {
  const scale = before / after;
  const reduction = Math.max(scale, 1);
  const reach = support * reduction;
  const most = Math.ceil(reach) * 2 + 1;
  const first = new Int32Array(after);
  const count = new Int32Array(after);
  const values = new Int32Array(after * most);
  for (let to = 0; to < after; to++) {
    const centre = (to + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(before, Math.trunc(centre + reach + 0.5));
    const exact = Array.from({ length: end - begin }, (_, i) => weight((begin + i - centre + 0.5) / reduction));
    const total = exact.reduce((sum, value) => sum + value, 0);
    first[to] = begin;
    count[to] = end - begin;
    for (const [i, value] of exact.entries()) {
      const share = (value / total) * 2 ** FRACTION_BITS;
      values[to * most + i] = Math.trunc(share + (share < 0 ? -0.5 : 0.5));
    }
  }
  return { first, count, values, most };
}
