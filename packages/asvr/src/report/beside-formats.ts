/** The paper's tables with ours beside them as Markdown, as a page, in LaTeX and as JSON: the same numbers in each. */
import type { BesideBlock, BesideCell, BesideRow, BesideTable } from "./beside.js";
import { interval, points, signedPoints } from "./format.js";
import { scroll } from "./html-tables.js";
import { plain, table } from "./markdown.js";
import { html, trusted } from "./markup.js";
import { styleSheet } from "./style.js";

export const besideFormats = ["markdown", "html", "latex", "json"] as const;
export type BesideFormat = (typeof besideFormats)[number];

export function renderBeside(tables: readonly BesideTable[], format: BesideFormat): string {
  switch (format) {
    case "markdown":
      return tables.map(markdown).join("\n");
    case "html":
      return page(tables);
    case "latex":
      return tables.map(latex).join("\n");
    case "json":
      return `${JSON.stringify(tables, null, 2)}\n`;
  }
}

/** "59.5 (+3.5)", as the paper prints it. */
function score(cell: BesideCell | undefined): string {
  if (!cell) return "\u2013";
  return cell.delta === undefined ? points(cell.value) : `${points(cell.value)} (${signedPoints(cell.delta)})`;
}

/** The average of a row and its difference, each with its interval where that is known. */
function average({ average: { value, delta, interval: of, deltaInterval } }: BesideRow): string {
  const mean = of ? `${points(value)} ${interval(of)}` : points(value);
  if (delta === undefined) return mean;
  return `${mean} (${signedPoints(delta)}${deltaInterval ? ` ${interval(deltaInterval)}` : ""})`;
}

/** "semantic codes (ASVR), asvr" */
function named({ title, id }: BesideRow): string {
  return title === id ? id : `${title}, ${id}`;
}

function columnsOf({ groups }: BesideBlock): string[] {
  return groups.flatMap(({ columns }) => columns);
}

function markdown({ title, blocks }: BesideTable): string {
  const parts = blocks.flatMap((block) => [
    `### ${plain(block.heading)}`,
    table(
      ["Row", ...columnsOf(block), "AVG"],
      block.rows.map((row) => [named(row), ...row.cells.map(score), average(row)]),
    ),
    plain(block.note),
  ]);
  return `${[`## ${plain(title)}`, ...parts].join("\n\n")}\n`;
}

function page(tables: readonly BesideTable[]): string {
  const title = tables.map((one) => one.title).join(" \u00b7 ");
  const block = (one: BesideBlock) =>
    html`<h3>${one.heading}</h3>${scroll(
      one.heading,
      html`<table class="dense"><thead>
<tr><td></td>${one.groups.map(({ name, columns }) => html`<th class="span edge" scope="colgroup" colspan="${columns.length}">${name}</th>`)}<td></td></tr>
<tr><th scope="col">Row</th>${columnsOf(one).map((name) => html`<th scope="col">${name}</th>`)}<th scope="col" class="edge">AVG</th></tr>
</thead><tbody>${one.rows.map(
        (row) =>
          html`<tr><th scope="row">${row.title}<small><code>${row.id}</code></small></th>${row.cells.map((cell) => html`<td>${score(cell)}</td>`)}<td class="edge">${average(row)}</td></tr>`,
      )}</tbody></table>`,
    )}<p class="note">${one.note}</p>`;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title><style>${trusted(styleSheet)}</style></head>
<body><main><h1>Beside the paper</h1>
${tables.map((one) => html`<section><h2>${one.title}</h2>${one.blocks.map(block)}</section>`)}
</main></body></html>
`.text;
}

function latex({ title, blocks }: BesideTable): string {
  const line = (cells: readonly string[]) => `${cells.map(latexText).join(" & ")} \\\\`;
  const parts = blocks.flatMap((block) => {
    const columns = columnsOf(block);
    const groups = block.groups.map(({ name, columns }) => `\\multicolumn{${columns.length}}{c}{${latexText(name)}}`);
    return [
      `% ${block.heading.replace(/\s+/g, " ")}`,
      `\\begin{tabular}{l${"r".repeat(columns.length)}r}`,
      "\\hline",
      `${["", ...groups, ""].join(" & ")} \\\\`,
      line(["Row", ...columns, "AVG"]),
      "\\hline",
      ...block.rows.map((row) => line([named(row), ...row.cells.map(score), average(row)])),
      "\\hline",
      "\\end{tabular}",
      `\\par\\smallskip{\\footnotesize ${latexText(`${block.heading}. ${block.note}`)}}\\par\\medskip`,
    ];
  });
  return `${["\\begin{table}", "\\centering", `\\caption{${latexText(title)}}`, ...parts, "\\end{table}"].join("\n")}\n`;
}

const latexSpecial: Readonly<Record<string, string>> = {
  "\\": "\\textbackslash{}",
  "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}",
  "\u2212": "$-$",
  "\u2013": "--",
  "\u00a0": "~",
};

/** Text from data as plain text in LaTeX: no command, no cell, no comment. */
function latexText(text: string): string {
  return text
    .replace(/[^\S\u00a0]+/g, " ")
    .replace(/[\\~^\u2212\u2013\u00a0]|[&%$#_{}]/g, (character) => latexSpecial[character] ?? `\\${character}`);
}
