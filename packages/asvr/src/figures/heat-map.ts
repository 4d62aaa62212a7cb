import type { VisualGrid } from "../chat/visual-grid.js";
import type { RgbImage } from "../data/images.js";
import { resize } from "../data/resize.js";
import { type Colour, colourOf, luminance } from "./colour-map.js";

/** Pixels of a drawn picture's longer side. */
export const FIGURE_SIZE = 384;
/** How much of a pixel is the map's colour; the rest is the picture, in grey. */
const OPACITY = 0.6;
/** Outside the picture, where it is padded. */
const OUTSIDE: Colour = [118, 118, 118];

export interface HeatMap {
  readonly grid: Pick<VisualGrid, "rows" | "columns" | "region">;
  /** A number a cell, row by row. */
  readonly values: readonly number[];
  /** What has the first colour, and what the last. */
  readonly range: readonly [low: number, high: number];
}

/** What a grid covers of its picture, alone. */
export function drawRegion(picture: RgbImage, grid: HeatMap["grid"]): RgbImage {
  const pixel = sampler(picture, grid);
  return paint(grid, (x, y) => pixel(x, y));
}

/** The picture in grey, with each cell's value as colour over it and a white frame around the highest. */
export function drawHeatMap(picture: RgbImage, { grid, values, range: [low, high] }: HeatMap): RgbImage {
  const pixel = sampler(picture, grid);
  const { width, height } = sizeOf(grid);
  const strongest = values.indexOf(Math.max(...values));
  return paint(grid, (x, y) => {
    const column = Math.floor((x * grid.columns) / width);
    const row = Math.floor((y * grid.rows) / height);
    const cell = row * grid.columns + column;
    if (cell === strongest && isAtBorder(x, y, { row, column, width, height, ...grid })) return [255, 255, 255];
    const colour = colourOf((values[cell]! - low) / (high - low));
    const grey = luminance(pixel(x, y));
    return colour.map((part) => Math.round(OPACITY * part + (1 - OPACITY) * grey)) as unknown as Colour;
  });
}

/** The colours from low to high, left to right. */
export function drawColourBar(width: number, height: number): RgbImage {
  return fill(width, height, (x) => colourOf(x / (width - 1)));
}

function sizeOf({ region }: HeatMap["grid"]): { width: number; height: number } {
  const scale = FIGURE_SIZE / Math.max(region.width, region.height);
  const side = (length: number) => Math.max(1, Math.round(length * scale));
  return { width: side(region.width), height: side(region.height) };
}

function paint(grid: HeatMap["grid"], colourAt: (x: number, y: number) => Colour): RgbImage {
  const { width, height } = sizeOf(grid);
  return fill(width, height, colourAt);
}

function fill(width: number, height: number, colourAt: (x: number, y: number) => Colour): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.set(colourAt(x, y), (y * width + x) * 3);
  }
  return { width, height, data };
}

/** The picture's colour at a pixel of the drawing. A larger picture is resampled, a smaller one keeps its pixels. */
function sampler(picture: RgbImage, grid: HeatMap["grid"]): (x: number, y: number) => Colour {
  const { region } = grid;
  const { width, height } = sizeOf(grid);
  const smaller = (length: number, from: number, to: number) =>
    Math.max(1, Math.round(Math.min(1, to / from) * length));
  const source = resize(
    picture,
    smaller(picture.width, region.width, width),
    smaller(picture.height, region.height, height),
  );
  return (x, y) => {
    const across = (region.left + ((x + 0.5) / width) * region.width) / picture.width;
    const down = (region.top + ((y + 0.5) / height) * region.height) / picture.height;
    if (across < 0 || across >= 1 || down < 0 || down >= 1) return OUTSIDE;
    const at = (Math.floor(down * source.height) * source.width + Math.floor(across * source.width)) * 3;
    return [source.data[at]!, source.data[at + 1]!, source.data[at + 2]!];
  };
}

interface Place {
  readonly row: number;
  readonly column: number;
  readonly rows: number;
  readonly columns: number;
  readonly width: number;
  readonly height: number;
}

/** Whether a pixel is one of the two outermost of its cell. */
function isAtBorder(x: number, y: number, { row, column, rows, columns, width, height }: Place): boolean {
  const near = (at: number, cell: number, cells: number, length: number) =>
    at - (cell * length) / cells < 2 || ((cell + 1) * length) / cells - at <= 2;
  return near(x, column, columns, width) || near(y, row, rows, height);
}
