import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../errors.js";
import { readText, writeWhole } from "../files.js";
import { renderMarkdown } from "./markdown.js";
import { collect } from "./report.js";

/** Where results that the project stands behind lie, from the root of the repository. */
export const RESULTS_FOLDER = join("docs", "results");

/**
 * Keeps what a finished study found as `docs/results/NAME.json` and `NAME.md`: the table with its reading, the command,
 * revision, date and machine, and the settings that make it again.
 * @returns the files
 * @throws ConfigError when the study has not finished, or something is missing in it
 */
export async function recordResults(runFolder: string, name: string): Promise<string[]> {
  if (!/^[\w-]+$/.test(name)) throw new ConfigError(`--record ${name}: use letters, digits, dashes and underscores`);
  const report = await collect(runFolder);
  if (report.missing.length > 0) {
    throw new ConfigError(`${runFolder} is not complete, so it is not recorded: ${report.missing.join("; ")}`);
  }
  const { study, tables, findings, tokenizers } = report;
  const { versions, elapsedSeconds, rows } = study;
  const settings = JSON.parse(readText(join(runFolder, "settings.json")));
  const recorded = {
    ...tables,
    versions,
    elapsedSeconds,
    titles: Object.fromEntries(rows.map(({ id, title }) => [id, title])),
    reading: findings,
    probes: tokenizers?.probes,
    settings,
  };
  await mkdir(RESULTS_FOLDER, { recursive: true });
  const [json, markdown] = [join(RESULTS_FOLDER, `${name}.json`), join(RESULTS_FOLDER, `${name}.md`)];
  await writeWhole(json, `${JSON.stringify(recorded, null, 1)}\n`);
  await writeWhole(markdown, renderMarkdown(report, `${name}.json`));
  return [json, markdown];
}
