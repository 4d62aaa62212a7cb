/** Where a run begins that does not say: the study that `npm run demo` makes. */
export const DEFAULT_STUDY = "runs/demo";

/** The folder where a table's study lies unless somebody says otherwise. */
export function studyFolder(table: string, scale: string): string {
  if (table === "table1") return scale === "micro" ? DEFAULT_STUDY : `runs/${scale}`;
  return scale === "micro" ? `runs/${table}` : `runs/${scale}-${table}`;
}
