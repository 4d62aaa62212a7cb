import sharp from "sharp";
import { expect, test } from "vitest";
import { noise } from "../chat/fixture.js";
import { colourOf, luminance } from "./colour-map.js";
import { drawHeatMap, drawRegion, FIGURE_SIZE } from "./heat-map.js";
import { panelsPng } from "./panels.js";

const grid = { rows: 2, columns: 3, region: { left: 0, top: 0, width: 6, height: 4 } };
const black = { width: 6, height: 4, data: new Uint8Array(72) };
const at = ({ width, data }: { width: number; data: Uint8Array }, x: number, y: number) => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

test("more is lighter, all along the colour map", () => {
  const lightness = Array.from({ length: 101 }, (_, step) => luminance(colourOf(step / 100)));
  expect(lightness.every((value, step) => step === 0 || value > lightness[step - 1]!)).toBe(true);
  expect(colourOf(-1)).toEqual(colourOf(0));
  expect(colourOf(2)).toEqual(colourOf(1));
});

test("each cell has the colour of its value, the highest a frame", () => {
  const drawn = drawHeatMap(black, { grid, values: [0, 1, 2, 3, 4, 5], range: [0, 5] });
  expect([drawn.width, drawn.height]).toEqual([FIGURE_SIZE, 256]);
  const [cellWidth, cellHeight] = [FIGURE_SIZE / 3, 128];
  for (let cell = 0; cell < 6; cell++) {
    const [x, y] = [(cell % 3) * cellWidth, Math.floor(cell / 3) * cellHeight];
    const wanted = colourOf(cell / 5).map((part) => Math.round(0.6 * part));
    expect(at(drawn, x + cellWidth / 2, y + cellHeight / 2)).toEqual(wanted);
    expect(at(drawn, x + 1, y + 1)).toEqual(cell === 5 ? [255, 255, 255] : wanted);
  }
});

test("a region beyond the picture is grey there; a picture keeps its colours where it is", () => {
  const white = { width: 2, height: 1, data: new Uint8Array(6).fill(255) };
  const drawn = drawRegion(white, { rows: 1, columns: 1, region: { left: 0, top: -0.5, width: 2, height: 2 } });
  expect([at(drawn, 9, 0), at(drawn, 9, FIGURE_SIZE / 2), at(drawn, 9, FIGURE_SIZE - 1)]).toEqual([
    [118, 118, 118],
    [255, 255, 255],
    [118, 118, 118],
  ]);
});

test("panels are one PNG, whatever their titles say", async () => {
  const drawing = drawRegion(noise(1, 900, 300), { ...grid, region: { left: 0, top: 0, width: 900, height: 300 } });
  const title = "<b>& a very long answer that goes on & on ".repeat(9);
  const png = await panelsPng([
    { title: "", drawing },
    { title, drawing, ends: ["0", "3.2%"] },
  ]);
  const { format, width } = await sharp(png).metadata();
  expect([format, width]).toEqual(["png", 16 + 2 * (FIGURE_SIZE + 16)]);
});
