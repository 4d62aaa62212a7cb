/** Pages of figures: self-contained as the report is, with inline style, pictures as data URIs and no script. */
import type { VisualGrid } from "../chat/visual-grid.js";
import { overlay } from "../report/attention.js";
import { type Content, html, type Markup, trusted } from "../report/markup.js";
import { styleSheet } from "../report/style.js";

const figureStyle = `
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)); gap: 1rem; }
.panels img { border-radius: 5px; } .panels .overlay, .panels img { width: 100%; height: auto; display: block; } .panels h3 { margin: 0 0 .4rem; overflow-wrap: anywhere; }
.scale { display: flex; justify-content: space-between; gap: 1rem; font-size: .8rem; color: var(--muted); border-top: 8px solid; border-image: linear-gradient(to right, #2e3034, #fff) 1; margin-top: .5rem; padding-top: .2rem; }
.figure table { margin-top: .8rem; }
.thumbnails { display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; padding: 0; margin: .6rem 0; }
.thumbnails img { width: 6rem; height: 6rem; object-fit: contain; border-radius: 4px; }
.thumbnails li { width: 6rem; font-size: .8rem; overflow-wrap: anywhere; }
`;

export interface FigurePage {
  readonly title: string;
  /** What was run, one line. */
  readonly subtitle: string;
  /** What a reader must know before looking. */
  readonly notice: Content;
  readonly content: Content;
}

export function renderFigurePage({ title, subtitle, notice, content }: FigurePage): string {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${title}</title><style>${trusted(styleSheet + figureStyle)}</style></head>
<body><main>
<header><h1>${title}</h1><p class="muted">${subtitle}</p></header>
<aside class="notice" aria-label="How to read this">${notice}</aside>
${content}
</main></body></html>
`.text;
}

/** One map of a figure: a picture whose cells are the darker the less they have. */
export interface MapPanel {
  readonly title: string;
  readonly label: string;
  /** What the grid covers of the picture, as a PNG. */
  readonly picture: Uint8Array;
  readonly grid: Pick<VisualGrid, "rows" | "columns" | "region">;
  readonly values: readonly number[];
  /** The value that leaves a cell as it is, and the words for both ends of the scale. */
  readonly brightest: number;
  readonly ends: readonly [low: string, high: string];
}

/** A picture and its maps side by side, drawn as the report draws attention: titles and scales are text of the page. */
export function panels(picture: Uint8Array, maps: readonly MapPanel[]): Markup {
  return html`<div class="panels"><div><h3>Picture</h3>${inlineImage(picture, "The picture alone")}</div>${maps.map(
    ({ title, label, picture, grid, values, brightest, ends }) => {
      const map = overlay({
        picture: dataUri(picture),
        grid: [grid.rows, grid.columns],
        aspect: grid.region.width / grid.region.height,
        attention: values,
        brightest,
        label,
      });
      return html`<div><h3>${title}</h3>${map}<div class="scale"><span>${ends[0]}</span><span>${ends[1]}</span></div></div>`;
    },
  )}</div>`;
}

function dataUri(png: Uint8Array): string {
  return `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
}

/** A PNG inside the page. @param alternative what it shows, for those who don't see it */
export function inlineImage(png: Uint8Array, alternative: string): Markup {
  return html`<img src="${dataUri(png)}" alt="${alternative}">`;
}

/** "row 2, column 5" of the highest value. */
export function strongestCell(values: readonly number[], columns: number): string {
  return placeOf(values.indexOf(Math.max(...values)), columns);
}

/** "row 2, column 5" of a cell. */
export function placeOf(cell: number, columns: number): string {
  return `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
}
