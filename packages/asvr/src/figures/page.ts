/** Pages of figures: self-contained as the report is, with inline style, pictures as data URIs and no script. */
import { type Content, html, type Markup, trusted } from "../report/markup.js";
import { styleSheet } from "../report/style.js";

const figureStyle = `
.figure img { width: 100%; height: auto; display: block; border-radius: 5px; background: #fff; }
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

/** A PNG inside the page. @param alternative what it shows, for those who don't see it */
export function inlineImage(png: Uint8Array, alternative: string): Markup {
  return html`<img src="data:image/png;base64,${Buffer.from(png).toString("base64")}" alt="${alternative}">`;
}

/** "row 2, column 5" of the highest value. */
export function strongestCell(values: readonly number[], columns: number): string {
  return placeOf(values.indexOf(Math.max(...values)), columns);
}

/** "row 2, column 5" of a cell. */
export function placeOf(cell: number, columns: number): string {
  return `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
}
