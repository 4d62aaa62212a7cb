import { expect, test } from "vitest";
import { siglipPreprocessing } from "../data/preprocess.js";
import { squareGrid } from "./visual-grid.js";

const picture = { width: 60, height: 30 };
const tower = { imageSize: 28, patchSize: 14 };
const of = (mode: "resize" | "pad" | "crop", changes = {}) =>
  squareGrid(picture, { ...siglipPreprocessing, size: 28, mode, ...changes }, tower, 4);

test("the grid covers what preprocessing shows: all of the picture, its padded square, its middle", () => {
  expect(of("resize")).toEqual({ rows: 2, columns: 2, first: 0, region: { left: 0, top: 0, ...picture } });
  expect(of("pad").region).toEqual({ left: 0, top: -15, width: 60, height: 60 });
  expect(of("crop").region).toEqual({ left: 15, top: 0, width: 30, height: 30 });
});

test("a crop of less than the shorter side, and a larger one, are to scale", () => {
  const { left, top, width, height } = of("crop", { shortestEdge: 56 }).region;
  expect([left, top, width, height]).toEqual([22.5, 7.5, 15, 15]);
});

test("pixels beyond the last whole patch are outside; class tokens come first, a dropped patch has none", () => {
  const settings = { ...siglipPreprocessing, size: 30 };
  const grid = squareGrid(picture, settings, { imageSize: 30, patchSize: 14 }, 5);
  expect(grid).toEqual({ rows: 2, columns: 2, first: 1, region: { left: 0, top: 0, width: 56, height: 28 } });
  expect(squareGrid(picture, settings, tower, 3).first).toBe(-1);
});
