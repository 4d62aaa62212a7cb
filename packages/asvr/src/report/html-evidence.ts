/** The page's evidence below the tables: curves, attention, samples, tokenizers, cost, data. */

import type { MetricsLine, Probe, ResidualCodes } from "../runs/run-folder.js";
import { attentionFigure } from "./attention.js";
import { average, type Line, lineChart } from "./charts.js";
import { bytes, compact, duration, points, whole } from "./format.js";
import { rowId, scroll } from "./html-tables.js";
import { html, type Markup } from "./markup.js";
import type { Report, ReportRow } from "./report.js";
import { rowStyle, rowTitle } from "./rows.js";

type Stage = MetricsLine["stage"];
const stages: [Stage, string][] = [
  ["pretraining", "Pretraining"],
  ["tuning", "Tuning"],
];

export function curves(report: Report): Markup {
  const trained = report.rows.filter((row) => runsOf(row).length > 0);
  if (trained.length === 0) return html`<p class="muted">No metrics.jsonl in this run folder yet.</p>`;
  const losses = (["textLoss", "visionLoss"] as const).flatMap((key) =>
    stages.map(([stage, name]) => lossChart(report, trained, stage, name, key)),
  );
  const accuracies = trained.map((row) => accuracyChart(report, row));
  return html`${legend(report, trained)}<div class="grid">${losses}</div>
<h3>Code accuracy by residual depth</h3>
<p>Share of visual codes whose most likely prediction is right, in tuning. Dotted: chance.</p>
<div class="grid">${accuracies}</div>`;
}

function lossChart(
  report: Report,
  rows: readonly ReportRow[],
  stage: Stage,
  name: string,
  key: "textLoss" | "visionLoss",
): Markup | undefined {
  const lines = rows.flatMap((row) => {
    const line = average(runsOf(row, stage), (metrics) => metrics[key]);
    return line.length > 0 ? [{ ...rowStyle(report, row.row.id), points: line, title: row.row.title }] : [];
  });
  if (lines.length === 0) return undefined;
  const what = key === "textLoss" ? "text loss" : "loss on visual codes";
  const ends = lines.map(({ title, points: line }) => `${title} ends at ${line.at(-1)!.value.toFixed(2)}`).join(", ");
  const chart = lineChart({ lines, yLabel: "nats a token", label: `${name}, ${what}: ${ends}` });
  return html`<figure class="card"><figcaption>${name}: ${what}</figcaption>${chart}</figure>`;
}

function accuracyChart(report: Report, row: ReportRow): Markup | undefined {
  const runs = runsOf(row, "tuning");
  const depth = Math.max(0, ...runs.flat().map((line) => line.codeAccuracy?.length ?? 0));
  const { color } = rowStyle(report, row.row.id);
  const lines: Line[] = Array.from({ length: depth }, (_, index) => ({
    color,
    opacity: depth > 1 ? 1 - (0.55 * index) / (depth - 1) : 1,
    points: average(runs, (line) => line.codeAccuracy?.[index]),
  })).filter((line) => line.points.length > 0);
  if (lines.length === 0) return undefined;
  const ends = lines.map((line, index) => `depth ${index + 1} ${points(100 * line.points.at(-1)!.value)}%`);
  const codes = report.tokenizers?.[row.row.supervision === "appearance" ? "appearance" : "semantic"];
  const chart = lineChart({
    lines,
    yLabel: "right, %",
    percent: true,
    reference: codes && 1 / codes.codebookSize,
    label: `Code accuracy of ${row.row.title}, at the end: ${ends.join(", ")}`,
  });
  return html`<figure class="card"><figcaption>${row.row.title} ${rowId(report, row.row.id)}</figcaption>${chart}<ul class="legend">${ends.map(
    (end, index) => html`<li>${swatch(color, undefined, lines[index]!.opacity)}${end}</li>`,
  )}</ul></figure>`;
}

export function attentionMaps(report: Report): Markup {
  const figures = report.attention.map((pair) => attentionFigure(pair, report.pictures.get(pair.image)));
  return html`<p>Attention of the last token before the answer over the visual tokens, mean over heads and layers; the small pictures are single layers. Dark cells get little; the white frame marks the strongest. Both large maps of a question share one scale, each small one has its own. Attention shows where information may be taken from; it does not explain an answer.</p>
<div class="grid">${figures}</div>`;
}

export function samples(report: Report): Markup {
  const cards = report.samples.map(
    ({
      image,
      type,
      question,
      answer,
      answers,
    }) => html`<div class="card sample">${picture(report, image, `Test picture of the question: ${question}`)}
<div><p><b>${question}</b> <small>${type}</small></p><p>Answer: ${answer}</p><ul>${answers.map(
      ({ row, prediction, correct }) =>
        html`<li><span class="who">${rowTitle(report, row)} ${rowId(report, row)}</span><span class="${correct ? "right" : "wrong"}">${prediction} <span role="img" aria-label="${correct ? "right" : "wrong"}">${correct ? "✓" : "✗"}</span></span></li>`,
    )}</ul></div></div>`,
  );
  return html`<p>Taken by position in the test set, not by result; each row answers with its first seed.</p><div class="samples">${cards}</div>`;
}

export function tokenizers(report: Report): Markup {
  const { tokenizers: summary } = report;
  if (!summary) return html`<p class="muted">No tokenizers/summary.json in this run folder.</p>`;
  const kinds: [string, ResidualCodes][] = [
    ["Semantic", summary.semantic],
    ["Appearance", summary.appearance],
  ];
  const depths = Array.from({ length: Math.max(...kinds.map(([, codes]) => codes.depth)) }, (_, index) => index);
  const cell = (codes: ResidualCodes, index: number) => {
    const used = codes.usedCodes[index];
    const error = codes.relativeError[index];
    return html`<td>${used === undefined ? "–" : whole(used)}</td><td>${error === undefined ? "–" : error.toFixed(3)}</td>`;
  };
  const pairs = summary.reconstructions.map(
    ({ original, appearance }, index) =>
      html`<figure>${picture(report, original, `Picture ${index + 1}`)}${picture(report, appearance, `Picture ${index + 1} rebuilt from its appearance codes`)}</figure>`,
  );
  return html`${scroll(
    "Code usage and error by depth",
    html`<table><thead><tr><td></td>${kinds.map(([name, codes]) => html`<th class="span edge" scope="colgroup" colspan="2">${name}, ${whole(codes.codebookSize)} codes</th>`)}</tr>
<tr><th scope="col">After depth</th>${kinds.map(() => html`<th scope="col" class="edge">Codes used</th><th scope="col">Relative error</th>`)}</tr></thead>
<tbody>${depths.map((index) => html`<tr><th scope="row">${index + 1}</th>${kinds.map(([, codes]) => cell(codes, index))}</tr>`)}</tbody></table>`,
  )}
${summary.probes && probes(summary.probes)}
<p>Pictures (left) and what the appearance codes keep of them (right): ${points(summary.appearance.psnr)} dB.</p><div class="pairs">${pairs}</div>`;
}

function probes(list: readonly Probe[]): Markup {
  const share = (value: number | undefined) => html`<td>${value === undefined ? "–" : points(100 * value)}</td>`;
  const rows = list.map(
    ({ what, majority, features, semantic, appearance }) =>
      html`<tr><th scope="row">${what}</th>${[majority, features, semantic, appearance].map(share)}</tr>`,
  );
  return html`<p>What a linear map reads, percent right:</p>${scroll(
    "Linear probes",
    html`<table><thead><tr><th scope="col">Of</th><th scope="col">Guessing</th><th scope="col">Features</th><th scope="col">Semantic codes</th><th scope="col">Appearance codes</th></tr></thead><tbody>${rows}</tbody></table>`,
  )}`;
}

export function cost(report: Report): Markup {
  const { parts } = report.study;
  const longest = Math.max(...parts.map((part) => part.seconds), 1e-9);
  const timeRows = parts.map(
    ({ name, seconds, detail }) =>
      html`<tr><th scope="row">${name}${detail && html`<small>${detail}</small>`}</th><td>${duration(seconds)}</td><td class="spread"><span class="part" style="width:${((100 * seconds) / longest).toFixed(1)}%" aria-hidden="true"></span></td></tr>`,
  );
  const results = report.rows.flatMap(({ row, seeds }) => {
    const result = seeds.find((seed) => seed.result)?.result;
    return result ? [{ row, result }] : [];
  });
  const partNames = [...new Set(results.flatMap(({ result }) => Object.keys(result.parameters)))];
  return html`${scroll("Time, part by part", html`<table><thead><tr><th scope="col">Part</th><th scope="col">Time</th><td></td></tr></thead><tbody>${timeRows}</tbody></table>`)}
${
  results.length > 0 &&
  scroll(
    "Parameters and memory",
    html`<table><thead><tr><th scope="col">Parameters</th>${partNames.map((name) => html`<th scope="col">${name}</th>`)}<th scope="col" class="edge">Peak memory</th></tr></thead><tbody>${results.map(
      ({ row, result }) =>
        html`<tr><th scope="row">${row.title}${rowId(report, row.id)}</th>${partNames.map((name) => html`<td>${result.parameters[name] === undefined ? "–" : compact(result.parameters[name])}</td>`)}<td class="edge">${bytes(result.peakMemoryBytes)}</td></tr>`,
    )}</tbody></table>`,
  )
}`;
}

export function licences(report: Report): Markup {
  if (!report.manifest) return html`<p class="muted">No data/manifest.json in this run folder.</p>`;
  return html`<p>${report.manifest.provenance}</p>${scroll(
    "Licences",
    html`<table><thead><tr><th scope="col">Package</th><th scope="col" class="text">Licence</th><th scope="col" class="text">Used for</th><th scope="col" class="text">Attribution</th></tr></thead><tbody>${report.manifest.licences.map(
      (one) =>
        html`<tr><th scope="row">${one.package} <small>${one.version}</small></th><td class="text">${one.licence}</td><td class="wrap">${one.usedFor}</td><td class="wrap">${one.attribution}</td></tr>`,
    )}</tbody></table>`,
  )}`;
}

function legend(report: Report, rows: readonly ReportRow[]): Markup {
  return html`<ul class="legend">${rows.map(({ row }) => {
    const { color, dash } = rowStyle(report, row.id);
    return html`<li>${swatch(color, dash)}${row.title} ${rowId(report, row.id)}</li>`;
  })}</ul>`;
}

function swatch(color: string, dash?: string, opacity = 1): Markup {
  return html`<svg viewBox="0 0 26 8" aria-hidden="true"><line x1="1" x2="25" y1="4" y2="4" stroke-width="2.5" style="stroke:${color};opacity:${opacity}" stroke-dasharray="${dash ?? "none"}"/></svg>`;
}

function picture(report: Report, name: string, description: string): Markup {
  const source = report.pictures.get(name);
  return source ? html`<img src="${source}" alt="${description}">` : html`<span class="none">picture missing</span>`;
}

function runsOf({ seeds }: ReportRow, stage?: Stage): MetricsLine[][] {
  return seeds.flatMap(({ metrics }) => {
    const lines = metrics?.filter((line) => !stage || line.stage === stage) ?? [];
    return lines.length > 0 ? [lines] : [];
  });
}
