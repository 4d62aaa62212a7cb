import fc from "fast-check";
import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { tilingOf } from "./tiling.js";

const pinpoints = [
  { height: 28, width: 56 },
  { height: 56, width: 28 },
  { height: 56, width: 56 },
];
const settings = { pinpoints, tileSize: 28, patchSize: 7 };

test("a picture of a pinpoint's size fills it", () => {
  expect(tilingOf({ height: 56, width: 28 }, settings)).toEqual({
    canvas: { height: 56, width: 28 },
    resized: { height: 56, width: 28 },
    tiles: { rows: 2, columns: 1 },
    shown: { top: 0, left: 0, rows: 8, columns: 4 },
    tokens: 16 + 8 * 5,
  });
});

test("what is shown lies in the middle of the tiles' patches, and touches two of their sides", () => {
  const side = fc.integer({ min: 1, max: 4000 });
  fc.assert(
    fc.property(side, side, (height, width) => {
      const { canvas, resized, tiles, shown, tokens } = tilingOf({ height, width }, settings);
      expect(resized.height === canvas.height || resized.width === canvas.width).toBe(true);
      expect([shown.top * 2 + shown.rows, shown.left * 2 + shown.columns]).toEqual([tiles.rows * 4, tiles.columns * 4]);
      expect(shown.top * shown.left).toBe(0);
      expect(tokens).toBe(16 + shown.rows * (shown.columns + 1));
    }),
  );
});

test("errors name the sizes", () => {
  const picture = { height: 30, width: 40 };
  expect(() => tilingOf({ height: 0, width: 40 }, settings)).toThrow(ConfigError);
  expect(() => tilingOf({ height: 0, width: 40 }, settings)).toThrow(/picture of 40 x 0/);
  expect(() => tilingOf(picture, { ...settings, tileSize: 24 })).toThrow(/not made of whole tiles of 24 pixels/);
  expect(() => tilingOf(picture, { ...settings, pinpoints: [] })).toThrow(/no pinpoints/);
});
