/** Figures 3 and 4 of the paper: a question about a picture, and where each model looks. */
import type { VisualGrid } from "../chat/visual-grid.js";
import type { RgbImage } from "../data/images.js";
import { points } from "../report/format.js";
import { scroll } from "../report/html-tables.js";
import { html, type Markup } from "../report/markup.js";
import { drawHeatMap, drawRegion } from "./heat-map.js";
import { type MapPanel, panels, renderFigurePage, strongestCell } from "./page.js";
import { drawingPng, type Panel, panelsPng } from "./panels.js";

/** One model's answer and its attention to the cells of the picture. */
export interface AttentionSide {
  readonly model: string;
  readonly answer: string;
  readonly grid: VisualGrid;
  readonly attention: readonly number[];
}

export interface AttentionCase {
  readonly image: string;
  readonly picture: RgbImage;
  readonly question: string;
  /** The models side by side, one or two. */
  readonly sides: readonly AttentionSide[];
}

/** The picture, and each model's overlay. Sides of equal grids share their colours' scale, so that they compare. */
export function attentionPng({ picture, sides }: AttentionCase): Promise<Buffer> {
  const [first] = sides;
  const drawn = sides.map((side): Panel => {
    const { model, answer, grid, attention } = side;
    const high = brightestOf(sides, side);
    const drawing = drawHeatMap(picture, { grid, values: attention, range: [0, high] });
    return { title: `${model}: ${answer}`, drawing, ends: ["0", `${(100 * high).toPrecision(2)}% of attention`] };
  });
  return panelsPng([{ title: "picture", drawing: drawRegion(picture, first!.grid) }, ...drawn]);
}

/** What the grids of equal size share: the attention that leaves a cell bright. */
function brightestOf(sides: readonly AttentionSide[], { attention }: AttentionSide): number {
  const [first] = sides;
  const isShared = sides.every(({ grid }) => grid.rows === first!.grid.rows && grid.columns === first!.grid.columns);
  return Math.max(...(isShared ? sides.flatMap((side) => side.attention) : attention)) || 1;
}

/** How a page and its reader call the moment. */
export type Moment = "before" | "after";
export const moments: Readonly<Record<Moment, string>> = {
  before: "the prompt's last token, before the answer",
  after: "the answer's last token",
};

/** A case with what each side's grid covers of the picture. */
export interface ShownCase {
  readonly figure: AttentionCase;
  readonly regions: readonly Uint8Array[];
}

export async function shownCase(figure: AttentionCase): Promise<ShownCase> {
  const { picture, sides } = figure;
  return { figure, regions: await Promise.all(sides.map(({ grid }) => drawingPng(drawRegion(picture, grid)))) };
}

/** All cases as one page. */
export function attentionPage(
  cases: readonly ShownCase[],
  { at, layers, heads }: { at: Moment; layers: string; heads: string },
): string {
  const models = cases[0]?.figure.sides.map(({ model }) => model) ?? [];
  return renderFigurePage({
    title: "Where the last token looks",
    subtitle: `${models.join(" beside ")} · attention of ${moments[at]} · layers: ${layers} · heads: ${heads}`,
    notice: html`<b>Attention is not an explanation.</b> A bright cell is one whose token the model had at hand in these layers; it need not be why it answered so, and a dark one may have told it as much by way of other tokens. Most attention goes to text, and some cells are bright in every picture. Two maps are compared cell by cell only where their grids are equal; then they share one scale.`,
    content: cases.map(caseFigure),
  });
}

function caseFigure({ figure, regions }: ShownCase, index: number): Markup {
  const { question, image, sides } = figure;
  const maps = sides.map((side, at): MapPanel => {
    const { model, answer, attention, grid } = side;
    const brightest = brightestOf(sides, side);
    const strongest = `${strongestCell(attention, grid.columns)} of ${grid.rows} by ${grid.columns}`;
    return {
      title: `${model}: ${answer}`,
      label: `Attention of ${model} over ${image}; strongest at ${strongest}`,
      picture: regions[at]!,
      grid,
      values: attention,
      brightest,
      ends: ["0", `${(100 * brightest).toPrecision(2)}% of attention`],
    };
  });
  const rows = sides.map(({ model, answer, attention, grid }) => {
    const share = attention.reduce((sum, value) => sum + value, 0);
    return html`<tr><th scope="row">${model}</th><td class="wrap">${answer}</td><td>${points(100 * share)}%</td><td class="text">${strongestCell(attention, grid.columns)}</td></tr>`;
  });
  return html`<section><h2>${question}</h2>
<figure class="card figure"><figcaption>${image}</figcaption>${panels(regions[0]!, maps)}
${scroll(
  `Answers to case ${index + 1}`,
  html`<table><thead><tr><th scope="col">Model</th><th scope="col" class="text">Answer</th><th scope="col">Attention on the picture</th><th scope="col" class="text">Strongest cell</th></tr></thead><tbody>${rows}</tbody></table>`,
)}</figure></section>`;
}
