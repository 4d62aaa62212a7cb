import { ConfigError } from "../errors.js";
import { baselines, type Scale, scales } from "./baselines.js";
import { derive, type Recipe } from "./recipe.js";
import type { Row, Table } from "./table.js";
import { table1 } from "./table1.js";
import { table2 } from "./table2.js";
import { table3 } from "./table3.js";
import { table4 } from "./table4.js";
import { table6, table7 } from "./table6.js";
import { table8 } from "./table8.js";
import { table9 } from "./table9.js";
import { table10 } from "./table10.js";

/** The paper's tables of trainings; Table 5 has prompts. */
export const tables = { table1, table2, table3, table4, table6, table7, table8, table9, table10 } as const satisfies {
  [name: string]: Table;
};
export type TableName = keyof typeof tables;
export const tableNames = Object.keys(tables) as TableName[];

/** @throws ConfigError for a table that there is not */
export function tableNamed(name: string): Table {
  if (Object.hasOwn(tables, name)) return tables[name as TableName];
  throw new ConfigError(`there is no table ${JSON.stringify(name)}; it must be ${tableNames.join(", ")}`);
}

/** @throws ConfigError for a row that the table does not have */
export function rowOf(table: string, row: string): Row {
  const { rows } = tableNamed(table);
  if (Object.hasOwn(rows, row)) return rows[row]!;
  throw new ConfigError(`${table} has no row "${row}"; it has ${Object.keys(rows).join(", ")}`);
}

/** `tableN/ROW` at a scale. @throws ConfigError for a row that the table does not have, or not at this scale */
export function recipeOf(table: string, row: string, scale: Scale): Recipe {
  const { title: ownTitle, from } = rowOf(table, row);
  const { change, title = ownTitle, times = {} } = rowAt(table, row, scale);
  const base = from === undefined ? baselines[scale] : recipeOf(...splitName(from), scale);
  const recipe = derive(base, {
    name: `${table}/${row}`,
    title,
    ...(scale === "paper" && { source: tableNamed(table).source }),
    ...change,
  });
  const { pretraining, tuning } = recipe.stages;
  return derive(recipe, {
    stages: {
      pretraining: { steps: atLeastOne(pretraining.steps * (times.pretraining ?? 1)) },
      tuning: { steps: atLeastOne(tuning.steps * (times.tuning ?? 1)) },
    },
  });
}

/** A row's steps where the baseline of its scale has `steps`. */
export function rowSteps(
  table: string,
  row: string,
  scale: Scale,
  steps: { pretraining: number; tuning: number },
): { pretraining: number; tuning: number } {
  const { from } = rowOf(table, row);
  const { times = {} } = rowAt(table, row, scale);
  const { pretraining, tuning } = from === undefined ? steps : rowSteps(...splitName(from), scale, steps);
  return {
    pretraining: atLeastOne(pretraining * (times.pretraining ?? 1)),
    tuning: atLeastOne(tuning * (times.tuning ?? 1)),
  };
}

function atLeastOne(steps: number): number {
  return Math.max(1, Math.round(steps));
}

function rowAt(table: string, row: string, scale: Scale) {
  const at = rowOf(table, row).at[scale];
  if (at) return at;
  const { lacking } = tableNamed(table);
  throw new ConfigError(`${table}/${row} has no equivalent at scale ${scale}${lacking ? `: ${lacking}` : ""}`);
}

/** Scales at which a row is expressed. */
export function scalesOf(table: string, row: string): Scale[] {
  return scales.filter((scale) => rowOf(table, row).at[scale] !== undefined);
}

/** "table2/asvr-2m" -> its table and its row. */
export function splitName(name: string): [table: string, row: string] {
  const [table = "", row = ""] = name.split("/");
  return [table, row];
}

/** What the report says of a row beside its numbers. */
export function rowNotes(table: string, row: string): Pick<Row, "role" | "note" | "against"> {
  const { role, note, against } = rowOf(table, row);
  return { role, note, ...(against !== row && { against }) };
}

/** Rows of a study by their ids: those of its table at that scale, and those beside them, as `tableN/ROW`. */
export function studyRows(table: string, scale: Scale): Map<string, string> {
  const { rows, beside = [] } = tableNamed(table);
  const names = [...beside, ...Object.keys(rows).map((row) => `${table}/${row}`)];
  return new Map(
    names.filter((name) => scalesOf(...splitName(name)).includes(scale)).map((name) => [splitName(name)[1], name]),
  );
}

/** A recipe by its name: `table1/asvr`, or `micro/asvr`, `small/asvr` for that row of Table 1 at that scale. @throws ConfigError */
export function recipeNamed(name: string, scale: Scale): Recipe {
  const [table, row] = splitName(name);
  if (table === "micro" || table === "small") return recipeOf("table1", row, table);
  if (Object.hasOwn(tables, table)) return recipeOf(table, row, scale);
  throw new ConfigError(
    `there is no recipe ${JSON.stringify(name)}; recipes are tableN/ROW, micro/ROW or small/ROW: asvr recipes lists them`,
  );
}
