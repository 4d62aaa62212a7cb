import sharp, { type OverlayOptions } from "sharp";
import type { RgbImage } from "../data/images.js";
import { escapeHtml } from "../report/markup.js";
import { drawColourBar, FIGURE_SIZE } from "./heat-map.js";

/** A drawing among others: what it is, and, where it has the colour map's colours, what the ends of them stand for. */
export interface Panel {
  readonly title: string;
  readonly drawing: RgbImage;
  readonly ends?: readonly [low: string, high: string];
}

const GAP = 16;
const BAR = 12;
/** Pixels of a line of text. */
const LINE = 20;

/** Panels side by side on white, each with its title above and its colour bar below, as a PNG. */
export async function panelsPng(panels: readonly Panel[]): Promise<Buffer> {
  const tallest = Math.max(...panels.map(({ drawing }) => drawing.height));
  const layers = await Promise.all(panels.map((panel, index) => layersOf(panel, GAP + index * (FIGURE_SIZE + GAP))));
  return sharp({
    create: {
      width: GAP + panels.length * (FIGURE_SIZE + GAP),
      height: 2 * LINE + 2 * GAP + tallest + BAR + LINE + GAP,
      channels: 3,
      background: "#fff",
    },
  })
    .composite(layers.flat())
    .png()
    .toBuffer();
}

/** A drawing as a PNG of its own. */
export function drawingPng(drawing: RgbImage): Promise<Buffer> {
  return rawInput(drawing).png().toBuffer();
}

async function layersOf({ title, drawing, ends }: Panel, left: number): Promise<OverlayOptions[]> {
  const top = GAP + 2 * LINE;
  const below = top + drawing.height + GAP / 2;
  const layers = [
    await textLayer(title, { left, top: GAP, height: 2 * LINE - 4 }),
    { input: await drawingPng(drawing), left, top },
  ];
  if (!ends) return layers;
  const labelTop = below + BAR + 3;
  const [low, high] = await Promise.all(ends.map((end) => textLayer(end, { left, top: labelTop, height: LINE })));
  const { width } = await sharp(high!.input as Buffer).metadata();
  return [
    ...layers,
    { input: await drawingPng(drawColourBar(drawing.width, BAR)), left, top: below },
    low!,
    { ...high!, left: left + drawing.width - width },
  ];
}

/** Text in the system's sans-serif, cut where it is higher than its place. */
async function textLayer(
  text: string,
  { left, top, height }: { left: number; top: number; height: number },
): Promise<OverlayOptions> {
  const shown = escapeHtml(text.trim() === "" ? "–" : text);
  const markup = `<span foreground="#1f2328">${shown}</span>`;
  const drawn = sharp({
    text: { text: markup, font: "sans 10", dpi: 96, rgba: true, width: FIGURE_SIZE, wrap: "word-char" },
  });
  const { data, info } = await drawn.png().toBuffer({ resolveWithObject: true });
  const [width, kept] = [Math.min(info.width, FIGURE_SIZE), Math.min(info.height, height)];
  return { input: await sharp(data).extract({ left: 0, top: 0, width, height: kept }).png().toBuffer(), left, top };
}

function rawInput({ width, height, data }: RgbImage) {
  return sharp(Buffer.from(data.buffer, data.byteOffset, data.byteLength), { raw: { width, height, channels: 3 } });
}
