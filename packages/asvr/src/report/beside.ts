/** The paper's tables with ours beside them, as values: scores, and deltas to the row that each is compared with. */
import type { Interval } from "../evaluation/statistics.js";
import { baselineId, seedsForT, type Tables } from "../evaluation/table.js";
import { paperBenchmarks, paperGroups, paperRow, paperTables } from "../recipes/paper-tables.js";
import { recipeOf, rowNotes, tableNamed } from "../recipes/tables.js";
import type { Study } from "../runs/run-folder.js";
import { tableTitle } from "./html.js";

export interface BesideCell {
  value: number;
  /** Against the row's baseline, as the paper prints it behind the score. */
  delta?: number;
}

export interface BesideRow {
  id: string;
  title: string;
  /** In the order of the block's columns; undefined where it was not measured. */
  cells: (BesideCell | undefined)[];
  average: BesideCell & { interval?: Interval; deltaInterval?: Interval };
  /** What the deltas are against. */
  against?: string;
}

/** One side: the paper's 14 benchmarks, or the question types of a study. */
export interface BesideBlock {
  heading: string;
  groups: { name: string; columns: string[] }[];
  rows: BesideRow[];
  note: string;
}

export interface BesideTable {
  table: string;
  title: string;
  blocks: BesideBlock[];
}

/** One table for each table that the studies are of: the paper's side, and one side for each study. */
export function besidePaper(studies: readonly { folder: string; study: Study; tables: Tables }[]): BesideTable[] {
  const names = [...new Set(studies.map(({ study }) => study.table))];
  return names.map((table) => ({
    table,
    title: `${tableTitle({ table })}: ${tableNamed(table).title}`,
    blocks: [
      paperBlock(table),
      ...studies.filter(({ study }) => study.table === table).map((one) => ourBlock(one.folder, one.study, one.tables)),
    ],
  }));
}

function paperBlock(table: string): BesideBlock {
  const rows = Object.entries(paperTables[table] ?? {}).map(([id, { scores, printedAverage }]): BesideRow => {
    const { against = baselineId } = rowNotes(table, id);
    // As in the paper, a row of text alone has no delta: it is there for others to be held against.
    const { title, supervision } = recipeOf(table, id, "paper");
    const isBaseline = supervision.kind === "none";
    const base = isBaseline || against === id ? undefined : paperRow(table, against);
    const cell = (value: number, other: number | undefined) =>
      other === undefined ? { value } : { value, delta: rounded(value - other) };
    return {
      id,
      title,
      cells: scores.map((score, index) => cell(score, base?.scores[index])),
      average: cell(printedAverage, base?.printedAverage),
      ...(base && { against }),
    };
  });
  const groups = Object.entries(paperGroups).map(([name, columns]) => ({ name, columns: [...columns] }));
  return {
    heading: "The paper",
    groups,
    rows,
    note: `${paperBenchmarks.length} benchmarks, averages as printed; deltas are computed from the printed scores.`,
  };
}

function ourBlock(folder: string, study: Study, tables: Tables): BesideBlock {
  const byGroup = new Map<string, string[]>();
  for (const [type, { group }] of Object.entries(tables.types))
    byGroup.set(group, [...(byGroup.get(group) ?? []), type]);
  const groups = [...byGroup].map(([name, columns]) => ({ name, columns }));
  const columns = groups.flatMap((group) => group.columns);
  const rows = tables.rows.map((row): BesideRow => {
    const { difference } = row;
    const base = difference && tables.rows.find(({ id }) => id === difference.against);
    return {
      id: row.id,
      title: study.rows.find(({ id }) => id === row.id)?.title ?? row.id,
      cells: columns.map((type) => {
        const [value, other] = [row.scores[type], base?.scores[type]];
        if (value === undefined) return undefined;
        return other === undefined ? { value } : { value, delta: rounded(value - other) };
      }),
      average: {
        value: row.mean,
        interval: row.interval,
        ...(difference && { delta: difference.mean, deltaInterval: difference.interval }),
      },
      ...(difference && { against: difference.against }),
    };
  });
  const seeds = Math.max(0, ...tables.rows.map((row) => row.seeds.length));
  return {
    heading: `Ours, ${study.scale} scale (${folder})`,
    groups,
    rows,
    note:
      `Question types of the embedded world; ${seeds} ${seeds === 1 ? "seed" : "seeds"} a row; brackets: 95% interval${seeds < seedsForT ? " over test pictures, which separates no rows: another seed may move them by more" : " over seeds"}. ` +
      "Other data, questions and models than the paper's: compare the signs, not the sizes." +
      (tables.missing.length > 0 ? ` Not complete: ${tables.missing.join("; ")}.` : ""),
  };
}

function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4 + 0;
}
