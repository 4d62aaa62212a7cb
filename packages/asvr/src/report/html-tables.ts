/** The page's tables: the result with its intervals, groups beside the paper's, question types. */
import type { Interval } from "../evaluation/statistics.js";
import { baselineId, seedsForT, type TableRow } from "../evaluation/table.js";
import { paperGroups } from "../recipes/paper-tables.js";
import { duration, interval, points, signedPoints, whole } from "./format.js";
import { type Content, html, type Markup } from "./markup.js";
import type { Report } from "./report.js";
import { against, groupsInOrder, rowDetail, rowProbability, rowStyle, rowTitle } from "./rows.js";

const none = "\u2013";

/** The main table: mean, difference to the baseline, novel pictures, cost; the paper's average and difference beside. */
export function resultTable(report: Report): Markup {
  const { rows, paper } = report.tables;
  const means = axis(rows.map((row) => row.interval));
  const differences = axis([[0, 0], ...rows.flatMap((row) => (row.difference ? [row.difference.interval] : []))]);
  const body = rows.map((row) => {
    const { color } = rowStyle(report, row.id);
    const printed = paper.find((one) => one.id === row.id);
    const { difference } = row;
    return html`<tr>${rowHeader(report, row, true)}
<td><b>${points(row.mean)}</b> <small>${interval(row.interval)}</small>${bar(means, row.interval, row.mean, color)}</td>
<td>${
      difference
        ? html`<b>${signedPoints(difference.mean)}</b> <small>${interval(difference.interval)}</small><small class="below">${against(report, difference)}</small>${bar(differences, difference.interval, difference.mean, color)}`
        : html`<span class="muted">${row.id === baselineId ? "baseline" : none}</span>`
    }</td>
<td>${rowProbability(report.tables, row)}</td>
<td>${row.novel === undefined ? none : points(row.novel)}</td>
<td>${whole(row.steps)}</td><td>${row.seconds === undefined ? none : duration(row.seconds)}</td>
<td class="edge">${printed ? points(printed.mean) : none}</td><td>${printed?.difference ? signedPoints(printed.difference.mean) : none}</td></tr>`;
  });
  const kinds = [...new Set(rows.map((row) => row.intervalKind))];
  return html`${scroll(
    "Result, row by row",
    html`<table><thead>
<tr><td></td><th class="span" scope="colgroup" colspan="6">This run, micro world, percent</th><th class="span edge" scope="colgroup" colspan="2">Paper, 7B</th></tr>
<tr><th scope="col">Row</th><th scope="col">Mean of types</th><th scope="col">Minus baseline</th><th scope="col">p</th><th scope="col">Novel</th><th scope="col">Steps</th><th scope="col">Training</th><th scope="col" class="edge">Average</th><th scope="col">Minus its baseline</th></tr>
</thead><tbody>${body}</tbody></table>`,
  )}
<p class="note">Mean: plain mean over question types on test pictures. Brackets and bars: 95% interval (${kinds.join("; ")}). p: of a paired t test over seeds, from ${seedsForT} seeds on. Fewer seeds separate nothing. Novel: mean on drawings from a source kept out of training, over the types that ask about drawings. The paper's columns are from another data set and model: compare the signs, not the sizes.</p>`;
}

/** The five groups of Table 1, ours beside the paper's. */
export function groupTable(report: Report): Markup {
  const { rows, paper } = report.tables;
  const groups = groupsInOrder(report);
  const paperNames = Object.keys(paperGroups) as (keyof typeof paperGroups)[];
  const heads = (names: readonly string[]) =>
    names.map((name, index) => html`<th scope="col" class="${index === 0 ? "edge" : ""}">${name}</th>`);
  const body = rows.map((row) => {
    const printed = paper.find((one) => one.id === row.id);
    return html`<tr>${rowHeader(report, row)}${groups.map(
      ({ key }, index) =>
        html`<td class="${index === 0 ? "edge" : ""}">${row.groups[key] === undefined ? none : points(row.groups[key])}</td>`,
    )}<td><b>${points(row.mean)}</b></td>${paperNames.map(
      (name, index) =>
        html`<td class="${index === 0 ? "edge" : ""}">${printed ? points(printed.groups[name]) : none}</td>`,
    )}<td>${printed ? html`<b>${points(printed.mean)}</b>` : none}</td></tr>`;
  });
  return scroll(
    "Groups of question types beside the paper's groups of benchmarks",
    html`<table class="dense"><thead>
<tr><td></td><th class="span edge" scope="colgroup" colspan="${groups.length + 1}">This run, micro world</th><th class="span edge" scope="colgroup" colspan="${paperNames.length + 1}">Paper</th></tr>
<tr><th scope="col">Row</th>${heads(groups.map(({ name }) => name))}<th scope="col">Mean</th>${heads(paperNames)}<th scope="col">Avg.</th></tr>
</thead><tbody>${body}</tbody></table>`,
  );
}

/** Every question type, with what always giving the most frequent answer would score. */
export function typeTable(report: Report): Markup {
  const { rows, types } = report.tables;
  const body = Object.entries(types).map(([type, { group, majority, blind }]) => {
    const cells = rows.map((row) => html`<td>${row.scores[type] === undefined ? none : points(row.scores[type])}</td>`);
    return html`<tr><th scope="row">${type} <small>${group}</small></th><td>${majority === undefined ? none : points(majority)}</td><td>${blind === undefined ? none : points(blind)}</td>${cells}</tr>`;
  });
  return scroll(
    "Scores by question type",
    html`<table class="even"><thead><tr><th scope="col">Type</th><th scope="col">Most frequent answer</th><th scope="col">Without looking</th>${rows.map(
      (row) => html`<th scope="col">${rowTitle(report, row.id)}${rowId(report, row.id)}</th>`,
    )}</tr></thead><tbody>${body}</tbody></table>`,
  );
}

/** A table in a box that scrolls sideways by itself on a narrow screen, by keyboard too. */
export function scroll(label: string, content: Content): Markup {
  return html`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${content}</div>`;
}

function rowHeader(report: Report, row: TableRow, seeds = false): Markup {
  const detail = rowDetail(report, row.id);
  return html`<th scope="row">${rowTitle(report, row.id)}${rowId(report, row.id)}${detail && html`<small>${detail}</small>`}${seeds && html`<small>${row.seeds.length} ${row.seeds.length === 1 ? "seed" : "seeds"}</small>`}</th>`;
}

/** What commands and folders call a row, small beside its title. */
export function rowId(report: Report, id: string): Markup | false {
  return rowTitle(report, id) !== id && html`<small><code>${id}</code></small>`;
}

/** The range that a column's bars share, with a little air. */
function axis(intervals: readonly Interval[]): Interval {
  const low = Math.min(...intervals.map(([bound]) => bound));
  const high = Math.max(...intervals.map(([, bound]) => bound));
  const air = 0.06 * (high - low || 1);
  return [low - air, high + air];
}

/** A small interval bar; the numbers stand beside it, so it is hidden from screen readers. */
function bar([from, to]: Interval, [low, high]: Interval, center: number, color: string): Markup {
  const place = (value: number) => ((140 * (value - from)) / (to - from)).toFixed(1);
  const zero = from < 0 && to > 0;
  return html`<svg class="bar" viewBox="0 0 140 14" aria-hidden="true"><line class="axis" x1="0" x2="140" y1="7" y2="7"/>${
    zero && html`<line class="zero" x1="${place(0)}" x2="${place(0)}" y1="0" y2="14"/>`
  }<line class="reach" x1="${place(low)}" x2="${place(high)}" y1="7" y2="7" style="stroke:${color}"/><circle cx="${place(center)}" cy="7" r="4" style="fill:${color}"/></svg>`;
}
