/** The report as Markdown: the tables and the reading, for a terminal, a pull request or a paper's appendix. */

import type { Probe } from "../runs/run-folder.js";
import { bytes, compact, duration, interval, points, signedPoints, whole } from "./format.js";
import { day, heading, provenance, tableTitle, totalSeconds } from "./html.js";
import type { Report } from "./report.js";
import { against, groupsInOrder, rowDetail, rowName, rowProbability, rowTitle } from "./rows.js";

const none = "\u2013";

/** @param numbers name of the file beside the page that holds what it was made of */
export function renderMarkdown(report: Report, numbers = "tables.json"): string {
  const { study, tables, findings, missing, manifest } = report;
  const [first, ...rest] = findings;
  const blocks = [
    `# ${plain(heading(report))}`,
    `${day(tables.date)}, ${duration(totalSeconds(report))} on ${plain(study.machine.cpu)}: \`${study.command.replaceAll("`", "'")}\``,
    plain(first?.text ?? ""),
    ...(missing.length > 0 ? [`**Not in this report**\n\n${list(missing)}`] : []),
    "## Result",
    resultTable(report),
    "## A plain reading",
    rest.map(({ topic, text }) => `- **${plain(topic)}.** ${plain(text)}`).join("\n"),
    `## Groups beside the paper's ${tableTitle(study)}`,
    groupTables(report),
    "## By question type",
    typeTable(report),
    "## Sample questions",
    samples(report),
    "## Tokenizers",
    tokenizers(report),
    "## Time, size and memory",
    cost(report),
    "## Data and licences",
    manifest
      ? `${plain(manifest.provenance)}\n\n${table(
          ["Package", "Version", "Licence", "Used for", "Attribution"],
          manifest.licences.map((one) => [one.package, one.version, one.licence, one.usedFor, one.attribution]),
          5,
        )}`
      : "No data/manifest.json in this run folder.",
    `---\n\n${plain(provenance(report, numbers))}`,
  ];
  return `${blocks.filter(Boolean).join("\n\n")}\n`;
}

function resultTable(report: Report): string {
  const { rows, paper } = report.tables;
  return table(
    [
      "Row",
      "Mean",
      "95% interval",
      "Minus baseline",
      "95% interval",
      "p",
      "Novel",
      "Steps",
      "Training",
      "Seeds",
      "Paper, average",
      "Paper, minus its baseline",
    ],
    rows.map((row) => {
      const printed = paper.find((one) => one.id === row.id);
      const { difference } = row;
      return [
        `${rowTitle(report, row.id)} (${[row.id, rowDetail(report, row.id)].filter(Boolean).join("; ")})`,
        points(row.mean),
        interval(row.interval),
        difference ? `${signedPoints(difference.mean)}${against(report, difference)}` : none,
        difference ? interval(difference.interval) : none,
        rowProbability(report.tables, row),
        row.novel === undefined ? none : points(row.novel),
        whole(row.steps),
        row.seconds === undefined ? none : duration(row.seconds),
        `${row.seeds.length}`,
        printed ? points(printed.mean) : none,
        printed?.difference ? signedPoints(printed.difference.mean) : none,
      ];
    }),
  );
}

function groupTables(report: Report): string {
  const { rows, paper } = report.tables;
  const groups = groupsInOrder(report);
  const ours = table(
    ["This run", ...groups.map(({ name }) => name), "Mean"],
    rows.map((row) => [
      rowName(report, row.id),
      ...groups.map(({ key }) => (row.groups[key] === undefined ? none : points(row.groups[key]))),
      points(row.mean),
    ]),
  );
  if (paper.length === 0) return ours;
  const names = Object.keys(paper[0]!.groups);
  const theirs = table(
    ["Paper, 7B", ...names, "Average"],
    paper.map((row) => [rowName(report, row.id), ...Object.values(row.groups).map(points), points(row.mean)]),
  );
  return `${ours}\n\n${theirs}`;
}

function typeTable(report: Report): string {
  const { rows, types } = report.tables;
  return table(
    ["Type", "Most frequent answer", "Without looking", ...rows.map((row) => rowName(report, row.id))],
    Object.entries(types).map(([type, { majority, blind }]) => [
      type,
      majority === undefined ? none : points(majority),
      blind === undefined ? none : points(blind),
      ...rows.map((row) => (row.scores[type] === undefined ? none : points(row.scores[type]))),
    ]),
  );
}

function samples(report: Report): string {
  const ids = [...new Set(report.samples.flatMap((sample) => sample.answers.map((answer) => answer.row)))];
  return table(
    ["Question", "Answer", ...ids.map((id) => rowName(report, id))],
    report.samples.map((sample) => [
      sample.question,
      sample.answer,
      ...ids.map((id) => {
        const own = sample.answers.find((answer) => answer.row === id);
        return own ? `${own.correct ? "✓" : "✗"} ${own.prediction}` : none;
      }),
    ]),
    2 + ids.length,
  );
}

function tokenizers({ tokenizers: summary }: Report): string {
  if (!summary) return "No tokenizers/summary.json in this run folder.";
  const kinds = [
    ["Semantic", summary.semantic],
    ["Appearance", summary.appearance],
  ] as const;
  const rows = kinds.map(([name, codes]) => [
    name,
    whole(codes.codebookSize),
    codes.usedCodes.map(whole).join(" / "),
    codes.relativeError.map((error) => error.toFixed(3)).join(" / "),
  ]);
  const blocks = [
    table(["Codes", "Codebook", "Used, by depth", "Relative error, after each depth"], rows),
    summary.probes && `What a linear map reads, percent right:\n\n${probes(summary.probes)}`,
    `Pictures rebuilt from appearance codes: ${points(summary.appearance.psnr)} dB.`,
  ];
  return blocks.filter(Boolean).join("\n\n");
}

function probes(list: readonly Probe[]): string {
  const share = (value: number | undefined) => (value === undefined ? none : points(100 * value));
  return table(
    ["Of", "Guessing", "Features", "Semantic codes", "Appearance codes"],
    list.map(({ what, majority, features, semantic, appearance }) => [
      what,
      ...[majority, features, semantic, appearance].map(share),
    ]),
  );
}

function cost(report: Report): string {
  const parts = table(
    ["Part", "Time"],
    report.study.parts.map(({ name, seconds, detail }) => [detail ? `${name}: ${detail}` : name, duration(seconds)]),
  );
  const sizes = report.rows.flatMap(({ row, seeds }) => {
    const result = seeds.find((seed) => seed.result)?.result;
    if (!result) return [];
    const parameters = Object.entries(result.parameters).map(([name, value]) => `${name} ${compact(value)}`);
    return [[rowName(report, row.id), parameters.join(", "), bytes(result.peakMemoryBytes)]];
  });
  return sizes.length > 0 ? `${parts}\n\n${table(["Row", "Parameters", "Peak memory"], sizes, 2)}` : parts;
}

function list(items: readonly string[]): string {
  return items.map((item) => `- ${plain(item)}`).join("\n");
}

/** @param textColumns how many columns from the left hold text; the others hold numbers and align right */
export function table(head: readonly string[], rows: readonly (readonly string[])[], textColumns = 1): string {
  const line = (cells: readonly string[]) => `| ${cells.map(plain).join(" | ")} |`;
  const rule = `| ${head.map((_, index) => (index < textColumns ? "---" : "---:")).join(" | ")} |`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

/** Text from data as plain text: no markup, no HTML, no new table cell, no new line. */
export function plain(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/[\\`*_[\]|~#]/g, "\\$&")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
