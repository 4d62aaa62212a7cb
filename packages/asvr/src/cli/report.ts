import { Command } from "commander";
import { writeReport } from "../report/report.js";
import { printJson } from "./options.js";

export function reportCommand(): Command {
  return new Command("report")
    .description("write report.html, report.md and tables.json of a study again")
    .argument("<folder>", "run folder of a study, as runs/demo")
    .option("--json", "print the tables as one JSON object", false)
    .addHelpText("after", "\nExample:\n  asvr report runs/demo")
    .action(async (folder: string, { json }: { json: boolean }) => {
      const { tables, summary } = await writeReport(folder);
      if (json) printJson({ folder, ...tables });
      else process.stdout.write(`${summary}\n`);
    });
}
