import { besidePaper } from "../report/beside.js";
import { type BesideFormat, besideFormats, renderBeside } from "../report/beside-formats.js";
import { buildReportTables, writeReport } from "../report/report.js";
import { oneOf, printJson } from "./options.js";
import { print } from "./printable.js";

export interface ReportOptions {
  format?: string;
  json: boolean;
}

/** Writes the reports of studies again; with a format, prints their tables beside the paper's instead. */
export async function report(folders: readonly string[], { format, json }: ReportOptions): Promise<void> {
  if (format !== undefined) {
    const asked = oneOf<BesideFormat>("--format", format, besideFormats);
    const studies = [];
    for (const folder of folders) studies.push({ folder, ...(await buildReportTables(folder)) });
    print(renderBeside(besidePaper(studies), asked));
    return;
  }
  const written = [];
  for (const folder of folders) written.push({ folder, ...(await writeReport(folder)) });
  const tables = written.map(({ folder, tables }) => ({ folder, ...tables }));
  if (json) printJson(tables.length === 1 ? tables[0] : tables);
  else print(written.map(({ summary }) => `${summary}\n`).join("\n"));
}
