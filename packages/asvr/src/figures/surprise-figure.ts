/** The surprise map: where a picture's codes are what the model expects, and where they are not. */
import type { NearPicture } from "../analysis/nearest-pictures.js";
import type { PictureSurprise } from "../analysis/surprise.js";
import type { VisualGrid } from "../chat/visual-grid.js";
import type { RgbImage } from "../data/images.js";
import { points } from "../report/format.js";
import { scroll } from "../report/html-tables.js";
import { html, type Markup } from "../report/markup.js";
import { drawHeatMap, drawRegion } from "./heat-map.js";
import { inlineImage, type MapPanel, panels, placeOf, renderFigurePage, strongestCell } from "./page.js";
import { drawingPng, panelsPng } from "./panels.js";

export interface SurpriseFigure {
  readonly run: string;
  readonly image: string;
  readonly picture: RgbImage;
  readonly grid: VisualGrid;
  readonly surprise: PictureSurprise;
}

/** The sum of a position's codes, by position. */
export function summed({ nats }: Pick<PictureSurprise, "nats">): number[] {
  return nats[0]!.map((_, position) => nats.reduce((sum, ofDepth) => sum + ofDepth[position]!, 0));
}

export function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * A depth's map, or the sum's beside the picture. Its colours go from 0 to what guessing costs, ln(codebookSize) a code:
 * so maps of different pictures and models compare.
 * @param depth from 0; undefined: the sum
 */
export function surprisePng({ picture, grid, surprise }: SurpriseFigure, depth?: number): Promise<Buffer> {
  const guessing = Math.log(surprise.codebookSize) * (depth === undefined ? surprise.nats.length : 1);
  const values = depth === undefined ? summed(surprise) : surprise.nats[depth]!;
  const title = depth === undefined ? "sum over depths" : `depth ${depth + 1}`;
  const map = {
    title: `${surprise.target} codes, ${title}: mean ${average(values).toFixed(2)} nats`,
    drawing: drawHeatMap(picture, { grid, values, range: [0, guessing] }),
    ends: ["0: expected", `${guessing.toFixed(2)} nats or more: guessed`] as const,
  };
  return panelsPng(depth === undefined ? [{ title: "picture", drawing: drawRegion(picture, grid) }, map] : [map]);
}

/** What a surprise's grid covers of its picture, as a PNG. */
export function regionPng({ picture, grid }: SurpriseFigure): Promise<Buffer> {
  return drawingPng(drawRegion(picture, grid));
}

/** Pictures near to predicted codes, drawn small. */
export interface NearDrawn extends NearPicture {
  readonly png: Uint8Array;
}

export interface SurpriseSection {
  readonly figure: SurpriseFigure;
  /** What the grid covers of the picture. */
  readonly region: Uint8Array;
  /** Of the whole picture, then of chosen cells. */
  readonly nearest: readonly { what: string; pictures: readonly NearDrawn[] }[];
}

export function surprisePage(sections: readonly SurpriseSection[], { question }: { question: string }): string {
  const [{ figure }] = sections as [SurpriseSection];
  return renderFigurePage({
    title: "What it saw, and what it missed",
    subtitle: `${figure.run} · ${figure.image}${question === "" ? "" : ` · ${question}`}`,
    notice: html`<b>Surprise is −log p of the picture's own codes</b> under the visual head, which reads the language model's states at the picture. Dark: the states hold what the code says. Light: as good as guessed, or worse. It says what can be told from these states, not what an answer is made of. At each depth the codes of the depths before it are given.`,
    content: sections.map(sectionOf),
  });
}

function sectionOf({ figure, region, nearest }: SurpriseSection): Markup {
  const { surprise, grid } = figure;
  const { nats, right, codebookSize, target } = surprise;
  const guessing = Math.log(codebookSize);
  const cell = (values: readonly number[]) => strongestCell(values, grid.columns);
  const rows = nats.map(
    (values, depth) =>
      html`<tr><th scope="row">${depth + 1}</th><td>${average(values).toFixed(3)}</td><td>${guessing.toFixed(3)}</td><td>${points((100 * right[depth]!) / values.length)}%</td><td class="text">${cell(values)}</td></tr>`,
  );
  const map = (title: string, values: readonly number[], brightest: number): MapPanel => ({
    title,
    label: `Surprise, ${title.toLowerCase()}: ${average(values).toFixed(2)} nats in the mean, highest at ${cell(values)} of ${grid.rows} by ${grid.columns}`,
    picture: region,
    grid,
    values,
    brightest,
    ends: ["0: expected", `${brightest.toFixed(2)} nats: guessed`],
  });
  const maps = [
    map("All depths", summed(surprise), guessing * nats.length),
    ...nats.map((values, depth) => map(`Depth ${depth + 1}`, values, guessing)),
  ];
  return html`<section><h2>${target === "semantic" ? "Semantic" : "Appearance"} codes</h2>
<figure class="card figure"><figcaption>${figure.image}</figcaption>${panels(region, maps)}</figure>
${scroll(
  `Surprise of ${target} codes by depth`,
  html`<table><thead><tr><th scope="col">Depth</th><th scope="col">Nats a code</th><th scope="col">Guessing</th><th scope="col">Most likely code is right</th><th scope="col" class="text">Most surprising</th></tr></thead><tbody>${rows}</tbody></table>`,
)}
${nearest.map(
  ({ what, pictures }) => html`<h3>Nearest to the predicted codes: ${what}</h3>
<ul class="thumbnails">${pictures.map(({ image, distance, position, png }) => {
    const place = position === undefined ? "" : `, ${placeOf(position, grid.columns)}`;
    return html`<li>${inlineImage(png, `${image}${place}, at distance ${distance.toFixed(3)}`)}${image}${place}<br><small>distance ${distance.toFixed(3)}</small></li>`;
  })}</ul>`,
)}</section>`;
}
