import { writeReport } from "../report/report.js";
import { printJson } from "./options.js";

/** Writes the report of a study again. */
export async function report(folder: string, { json }: { json: boolean }): Promise<void> {
  const { tables, summary } = await writeReport(folder);
  if (json) printJson({ folder, ...tables });
  else process.stdout.write(`${summary}\n`);
}
