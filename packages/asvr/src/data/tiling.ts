import { ConfigError } from "../errors.js";

/** Height and width in pixels. */
export interface PictureSize {
  readonly height: number;
  readonly width: number;
}

export interface TilingSettings {
  /** `image_grid_pinpoints`: the sizes that a picture may be brought to, each of whole tiles; the first wins a tie. */
  readonly pinpoints: readonly PictureSize[];
  /** Side of a tile, the vision tower's image size, in pixels. */
  readonly tileSize: number;
  /** Side of a patch in pixels; what lies beyond a tile's last whole patch is not seen. */
  readonly patchSize: number;
}

/** How LLaVA-NeXT sees one picture: as a whole, resized to one tile, and cut into tiles. */
export interface Tiling {
  /** The pinpoint that it is padded to. */
  readonly canvas: PictureSize;
  /** The picture on the canvas, its aspect kept, in the middle. */
  readonly resized: PictureSize;
  /** Tiles of the canvas. */
  readonly tiles: { readonly rows: number; readonly columns: number };
  /** The patches of the canvas that show the picture: from `top` and `left` on, `rows` x `columns` of them. */
  readonly shown: { readonly top: number; readonly left: number; readonly rows: number; readonly columns: number };
  /** Visual tokens: the patches of the whole, then those that are shown, with a newline after each row of them. */
  readonly tokens: number;
}

/**
 * The tiles of a picture (LLaVA-NeXT, Liu et al., 2024), rounded as Hugging Face's implementation does.
 * @throws ConfigError for a size or pinpoint that can't be tiled
 */
export function tilingOf(picture: PictureSize, { pinpoints, tileSize, patchSize }: TilingSettings): Tiling {
  const { height, width } = picture;
  const grid = Math.floor(tileSize / patchSize); // patches along a tile's side
  if (!(height >= 1 && width >= 1) || grid < 1) {
    throw new ConfigError(`tiling: a picture of ${width} x ${height}, tiles of ${tileSize}, patches of ${patchSize}`);
  }
  const canvas = bestPinpoint(picture, pinpoints);
  if (canvas.height % tileSize !== 0 || canvas.width % tileSize !== 0) {
    throw new ConfigError(
      `tiling: ${canvas.height} x ${canvas.width} is not made of whole tiles of ${tileSize} pixels`,
    );
  }
  const tiles = { rows: canvas.height / tileSize, columns: canvas.width / tileSize };
  const shown = shownPatches(picture, tiles.rows * grid, tiles.columns * grid);
  const tokens = grid * grid + shown.rows * (shown.columns + 1);
  return { canvas, resized: resizedTo(picture, canvas), tiles, shown, tokens };
}

/** The pinpoint that keeps most of the picture's pixels, and of several the one that wastes least. */
function bestPinpoint({ height, width }: PictureSize, pinpoints: readonly PictureSize[]): PictureSize {
  let best: { pinpoint: PictureSize; effective: number; wasted: number } | undefined;
  for (const pinpoint of pinpoints) {
    const scale = Math.min(pinpoint.width / width, pinpoint.height / height);
    const effective = Math.min(Math.trunc(width * scale) * Math.trunc(height * scale), width * height);
    const wasted = pinpoint.width * pinpoint.height - effective;
    if (best && (effective < best.effective || (effective === best.effective && wasted >= best.wasted))) continue;
    best = { pinpoint, effective, wasted };
  }
  if (!best) throw new ConfigError("tiling: there are no pinpoints");
  return best.pinpoint;
}

function resizedTo({ height, width }: PictureSize, canvas: PictureSize): PictureSize {
  const [across, down] = [canvas.width / width, canvas.height / height];
  if (across < down) return { width: canvas.width, height: Math.min(Math.ceil(height * across), canvas.height) };
  return { height: canvas.height, width: Math.min(Math.ceil(width * down), canvas.width) };
}

/** Of a map of patches, those that the picture covers; one more than it needs where the padding is odd. */
function shownPatches({ height, width }: PictureSize, rows: number, columns: number): Tiling["shown"] {
  if (width / height > columns / rows) {
    const top = Math.floor((rows - roundedDown(height * (columns / width))) / 2);
    return { top, left: 0, rows: rows - 2 * top, columns };
  }
  const left = Math.floor((columns - roundedDown(width * (rows / height))) / 2);
  return { top: 0, left, rows, columns: columns - 2 * left };
}

/** Rounded to seven digits first, so that 13.9999999999 is 14. */
function roundedDown(value: number): number {
  return Math.trunc(Number(value.toFixed(7)));
}
