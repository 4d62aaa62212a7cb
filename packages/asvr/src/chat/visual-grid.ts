import type { RgbImage } from "../data/images.js";
import type { Preprocessing } from "../data/preprocess.js";

/** The patches of a whole picture among the tokens that a model reads in its place, row by row. */
export interface VisualGrid {
  readonly rows: number;
  readonly columns: number;
  /** The picture's token that is the first patch; negative where so many patches have no token. */
  readonly first: number;
  /** What the grid covers, in pixels of the picture: more than it where the picture is padded, less where it is cut. */
  readonly region: Region;
}

export interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * The grid of a tower's square of patches.
 * @param tower sides of the square and of a patch in pixels; what lies beyond the last whole patch is not seen
 * @param positions the picture's tokens of this square, of which the last are the patches
 */
export function squareGrid(
  picture: Pick<RgbImage, "width" | "height">,
  preprocessing: Preprocessing,
  { imageSize, patchSize }: { imageSize: number; patchSize: number },
  positions: number,
): VisualGrid {
  const side = Math.floor(imageSize / patchSize);
  const seen = (side * patchSize) / imageSize;
  const { left, top, width, height } = squareRegion(picture, preprocessing);
  const region = { left, top, width: width * seen, height: height * seen };
  return { rows: side, columns: side, first: positions - side * side, region };
}

/** What of a picture `preprocess` brings to the square. */
function squareRegion(
  { width, height }: Pick<RgbImage, "width" | "height">,
  { mode, size, shortestEdge = size }: Preprocessing,
): Region {
  if (mode === "resize") return { left: 0, top: 0, width, height };
  if (mode === "pad") {
    const side = Math.max(width, height);
    const start = (length: number) => 0 - Math.floor((side - length) / 2);
    return { left: start(width), top: start(height), width: side, height: side };
  }
  const scale = shortestEdge / Math.min(width, height);
  const along = (length: number) => {
    const resized = Math.trunc(length * scale);
    return { start: (Math.floor((resized - size) / 2) * length) / resized, length: (size * length) / resized };
  };
  const [across, down] = [along(width), along(height)];
  return { left: across.start, top: down.start, width: across.length, height: down.length };
}
