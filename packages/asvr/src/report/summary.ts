/** One screen for the terminal, at most 80 columns and 24 lines: the table, what it says, where the report is. */
import type { TableRow } from "../evaluation/table.js";
import { duration, interval, points, signedPoints, whole } from "./format.js";
import { heading, totalSeconds } from "./html.js";
import type { Report } from "./report.js";
import { rowTitle } from "./rows.js";

const width = 80;
const height = 24;
const shownRows = 8;

export function summarize(report: Report, page: string): string {
  const { tables, findings, missing } = report;
  const head = `${heading(report)}, ${duration(totalSeconds(report))}`;
  const foot = [
    ...(missing.length > 0 ? [`Missing: ${missing.length} thing(s), named in the report`] : []),
    `Report: ${page}`,
  ];
  const table = tables.rows.length > 0 ? rowLines(report) : ["No row has been evaluated yet."];
  const room = height - table.length - foot.length - 4; // the heading and three empty lines
  const topics = ["Equal steps", "Equal time", "What the intervals cover"];
  const [lead] = findings;
  const spoken = findings.flatMap((one) => (one === lead || topics.includes(one.topic) ? [wrap(one.text)] : []));
  const reading: string[] = [];
  for (const lines of spoken) if (reading.length + lines.length <= room) reading.push(...lines);
  return [head, "", ...table, "", ...reading, "", ...foot].map((line) => cut(line, line === foot.at(-1))).join("\n");
}

function rowLines(report: Report): string[] {
  const { rows } = report.tables;
  const shown = rows.slice(0, shownRows);
  const cells = shown.map((row) => {
    const title = rowTitle(report, row.id);
    return line(title === row.id ? title : `${row.id}  ${title}`, [
      points(row.mean),
      row.difference ? `${signedPoints(row.difference.mean)} ${interval(row.difference.interval)}` : "",
      row.novel === undefined ? "–" : points(row.novel),
      whole(row.steps),
      time(row),
    ]);
  });
  const header = line("row", ["mean %", "minus baseline, 95%", "novel", "steps", "time"]);
  const more = rows.length > shown.length ? [`… and ${rows.length - shown.length} more rows in the report`] : [];
  return [header, "-".repeat(width), ...cells, ...more];
}

function line(title: string, values: readonly string[]): string {
  const widths = [6, 20, 6, 6, 8];
  return cut(title, false, 29).padEnd(29) + values.map((value, index) => ` ${value.padStart(widths[index]!)}`).join("");
}

function time({ seconds }: TableRow): string {
  if (seconds === undefined) return "–";
  return seconds < 600 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

function wrap(text: string): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    if (last && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines;
}

/** Cuts a line to the screen, except the one that holds a path, which must stay whole to be of use. Drops control characters. */
function cut(text: string, keepWhole: boolean, columns = width): string {
  const printable = text.replace(/\p{Cc}/gu, " ");
  return keepWhole || printable.length <= columns ? printable : `${printable.slice(0, columns - 1)}…`;
}
