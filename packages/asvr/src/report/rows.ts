/** How rows are named, coloured and grouped, the same in every table and chart. */
import { baselineId, type Difference, seedsForT, type TableRow, type Tables } from "../evaluation/table.js";
import { paperGroups } from "../recipes/paper-tables.js";
import type { StudyRow } from "../runs/run-folder.js";
import { bareProbability } from "./format.js";

/** What naming a row needs of a report. */
interface Named {
  readonly study: { readonly rows: readonly StudyRow[] };
}

export interface RowStyle {
  color: string;
  /** Dash pattern, so that lines differ without colour as well. */
  dash?: string;
}

const known: Record<string, RowStyle> = {
  llava: { color: "var(--baseline)", dash: "6 3" },
  asvr: { color: "var(--asvr)" },
  appearance: { color: "var(--appearance)", dash: "2 2" },
};
const others: RowStyle[] = [
  { color: "var(--other-1)", dash: "9 3 2 3" },
  { color: "var(--other-2)", dash: "4 2" },
  { color: "var(--other-3)", dash: "1 3" },
  { color: "var(--other-1)" },
  { color: "var(--other-2)" },
  { color: "var(--other-3)" },
];

export function rowStyle(report: Named, id: string): RowStyle {
  const position = report.study.rows.filter((row) => !known[row.id]).findIndex((row) => row.id === id);
  return known[id] ?? others[Math.max(0, position) % others.length]!;
}

export function rowTitle(report: Named, id: string): string {
  return report.study.rows.find((row) => row.id === id)?.title ?? id;
}

/** "semantic codes (ASVR), asvr": what readers call a row, and what commands and folders call it. */
export function rowName(report: Named, id: string): string {
  const title = rowTitle(report, id);
  return title === id ? id : `${title}, ${id}`;
}

/** The p value of a row's difference for a table cell. There is none with few seeds, where a test would claim too much. */
export function rowProbability({ comparisons }: Pick<Tables, "comparisons">, { id, difference }: TableRow): string {
  const tested = comparisons.find(
    ({ row, against, split }) => row === id && against === difference?.against && split === "test-seen",
  );
  return tested && tested.seeds.length >= seedsForT ? bareProbability(tested.p) : "\u2013";
}

/** "semantic codes, unshifted, discrete input": what the row is, in a few words. */
export function rowDetail(report: Named, id: string): string {
  const row = report.study.rows.find((one) => one.id === id);
  if (!row) return "";
  const codes = `${row.supervision} codes`;
  const isNamed = row.title.includes(codes);
  const supervision = row.supervision === "none" ? "text loss only" : isNamed ? undefined : codes;
  const alignment = row.alignment === "next" ? "next position" : undefined;
  const input = row.visualInput === "discrete" ? "discrete input" : undefined;
  return [supervision, alignment, input].filter(Boolean).join(", ");
}

/** Names the row that a difference is against, where it is not the baseline. */
export function against(report: Named, { against: id }: Difference): string {
  return id === baselineId ? "" : ` against ${rowName(report, id)}`;
}

/** A group's key and its name for readers, in the paper's order; groups that the paper lacks come last. */
export function groupsInOrder(report: { tables: Tables }): { key: string; name: string }[] {
  const keys = [...new Set(Object.values(report.tables.types).map(({ group }) => group))];
  const names = Object.keys(paperGroups);
  const matches = (key: string, name: string) => {
    const start = name.toLowerCase().slice(0, 6);
    return key.toLowerCase().startsWith(start) || start.startsWith(key.toLowerCase());
  };
  const inPaper = names.flatMap((name) => {
    const key = keys.find((one) => matches(one, name));
    return key === undefined ? [] : [{ key, name }];
  });
  return [
    ...inPaper,
    ...keys.filter((key) => !inPaper.some((one) => one.key === key)).map((key) => ({ key, name: key })),
  ];
}
