/** The report as one page that needs nothing else: inline style and SVG, pictures as data URIs, no script. */
import { seedsForT } from "../evaluation/table.js";
import { duration, listing } from "./format.js";
import { attentionMaps, cost, curves, licences, samples, tokenizers } from "./html-evidence.js";
import { groupTable, resultTable, typeTable } from "./html-tables.js";
import { type Content, html, type Markup, trusted } from "./markup.js";
import type { Report } from "./report.js";
import { styleSheet } from "./style.js";

export function renderHtml(report: Report): string {
  const { study, tables, findings, missing } = report;
  const [first, ...rest] = findings;
  const sections: [title: string, content: Content][] = [
    [
      "Result",
      tables.rows.length > 0 ? resultTable(report) : html`<p class="muted">No row has been evaluated yet.</p>`,
    ],
    [
      "A plain reading",
      html`<p>Computed from the numbers above; a direction is claimed only from ${seedsForT} seeds on, and only where the 95% interval lies on one side of zero.</p><dl class="findings">${rest.map(({ topic, text }) => html`<dt>${topic}</dt><dd>${text}</dd>`)}</dl>`,
    ],
    [`Beside the paper's ${tableTitle(study)}`, tables.rows.length > 0 && groupTable(report)],
    ["By question type", tables.rows.length > 0 && typeTable(report)],
    ["Learning curves", curves(report)],
    ["Where the last token looks", report.attention.length > 0 && attentionMaps(report)],
    ["Sample questions", report.samples.length > 0 && samples(report)],
    ["Tokenizers", tokenizers(report)],
    ["Time, size and memory", cost(report)],
    ["Data and licences", licences(report)],
  ];
  const shown = sections.filter(([, content]) => content !== false);
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${heading(report)}</title><style>${trusted(styleSheet)}</style></head>
<body><main>
<header><h1>${heading(report)}</h1>
<p class="muted">${day(tables.date)} · ${duration(totalSeconds(report))} on ${study.machine.cpu}, ${study.machine.cores} cores · <code>${study.command}</code></p>
<p class="lead">${first?.text}</p></header>
${
  missing.length > 0 &&
  html`<aside class="notice" aria-label="Missing"><b>Not in this report</b><ul>${missing.map((what) => html`<li>${what}</li>`)}</ul></aside>`
}
<nav class="contents" aria-label="Contents"><ul>${shown.map(([title]) => html`<li><a href="#${anchor(title)}">${title}</a></li>`)}</ul></nav>
${shown.map(([title, content]) => section(title, content))}
<footer><p>${provenance(report)}</p></footer>
</main></body></html>
`;
  return page.text;
}

function section(title: string, content: Content): Markup {
  return html`<section id="${anchor(title)}"><h2>${title}</h2>${content}</section>`;
}

/** "time-size-and-memory": where a link of the contents leads. */
function anchor(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
}

export function heading({ study }: Report): string {
  return `ASVR, ${tableTitle(study)} at ${study.scale} scale`;
}

/** "Table 2" */
export function tableTitle({ table }: Pick<Report["study"], "table">): string {
  return table.replace(/^table(\d+)$/, "Table $1");
}

/** The date of an ISO time; the text itself when it is none. */
export function day(time: string): string {
  return /^\d{4}-\d{2}-\d{2}T/.test(time) ? time.slice(0, 10) : time;
}

/** From start to end; the sum of the parts (which may overlap) while the study has not ended. */
export function totalSeconds({ study }: Report): number {
  if (study.elapsedSeconds !== undefined) return study.elapsedSeconds;
  const elapsed = study.finishedAt ? (Date.parse(study.finishedAt) - Date.parse(study.startedAt)) / 1000 : Number.NaN;
  return Number.isFinite(elapsed) ? elapsed : study.parts.reduce((sum, part) => sum + part.seconds, 0);
}

/** @param numbers name of the file beside the page that holds what it was made of */
export function provenance({ study }: Report, numbers = "tables.json"): string {
  const versions = Object.entries(study.versions).map(([name, version]) => `${name} ${version}`);
  const { cpu, cores, threads, platform } = study.machine;
  const revision = study.revision ? `Revision ${study.revision}. ` : "";
  return `${revision}${listing(versions)}. ${cpu}, ${cores} cores, ${threads} threads, ${platform}. Started ${study.startedAt}${study.finishedAt ? `, finished ${study.finishedAt}` : ""}. The numbers are in ${numbers} beside this page.`;
}
