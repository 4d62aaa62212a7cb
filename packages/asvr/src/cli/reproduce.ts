import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../errors.js";
import { quickened, STUDY_TABLES, type StudySettings, settingsOf } from "../parts/settings.js";
import { readSettings, readSettingsFile } from "../parts/settings-file.js";
import { type Scale, scales } from "../recipes/baselines.js";
import { requireRunnable } from "../recipes/missing.js";
import { recipeOf, studyRows, tableNamed, tableNames } from "../recipes/tables.js";
import { recordResults } from "../report/record.js";
import { writeReport } from "../report/report.js";
import { fasterMatmul } from "../studies/matmul.js";
import { runStudy } from "../studies/study.js";
import { studyFolder } from "../studies/study-folder.js";
import { interruptSignal, oneOf, printJson } from "./options.js";
import { print } from "./printable.js";
import { type ProgressDisplay, progressDisplay } from "./progress.js";

export interface ReproduceOptions {
  scale: string;
  rows?: string;
  seeds?: number;
  steps?: number;
  quick: boolean;
  settings?: string;
  out?: string;
  jobs?: number;
  sharedSeed?: number;
  matmul: string;
  fresh: boolean;
  plan: boolean;
  record?: string | true;
  json: boolean;
}

/** Runs a table's study, or what is left of it, and writes its report; `all`: one table after the other. */
export async function reproduce(table: string, options: ReproduceOptions): Promise<void> {
  const scale = oneOf<Scale>("--scale", options.scale, scales);
  oneOf("the table", table, [...tableNames, "all"]);
  if (options.plan) return (await import("./plan.js")).plan(table, scale, options);
  if (scale === "paper") {
    const row = options.rows?.split(",")[0] ?? Object.keys(tableNamed(table === "all" ? "table1" : table).rows)[0]!;
    requireRunnable(recipeOf(table === "all" ? "table1" : table, row, scale));
  }
  const display = progressDisplay();
  const signal = interruptSignal(display);
  const results: object[] = [];
  try {
    for (const one of studyTables(table, options)) {
      results.push(await reproduceTable(one, options, { display, signal, isOneOfAll: table === "all" }));
    }
  } finally {
    display.close();
  }
  if (options.json) printJson(table === "all" ? results : results[0]);
}

/** @throws ConfigError for a table that has no row at a scale that runs here */
export function studyTables(table: string, { rows, settings }: ReproduceOptions): StudySettings["table"][] {
  if (table === "all") {
    if (rows === undefined && settings === undefined) return [...STUDY_TABLES];
    throw new ConfigError("--rows and --settings are of one table: name it in the place of all");
  }
  if ((STUDY_TABLES as readonly string[]).includes(table)) return [table as StudySettings["table"]];
  throw new ConfigError(
    `${table} has no equivalent at this scale: ${tableNamed(table).lacking}. --scale paper --plan shows it at the paper's.`,
  );
}

/** Where a table's study lies: as asked for, with `all` in a folder of its own inside. */
export function folderOf(table: string, { out, quick, scale }: ReproduceOptions, isOneOfAll: boolean): string {
  if (out !== undefined) return isOneOfAll ? join(out, table) : out;
  if (!quick) return studyFolder(table, scale);
  return table === "table1" ? "runs/quick" : `runs/quick-${table}`;
}

async function reproduceTable(
  table: StudySettings["table"],
  options: ReproduceOptions,
  { display, signal, isOneOfAll }: { display: ProgressDisplay; signal: AbortSignal; isOneOfAll: boolean },
): Promise<object> {
  const folder = folderOf(table, options, isOneOfAll);
  const settings = await resolveSettings(table, options, folder);
  const count = await runStudy({
    folder,
    settings,
    command: `asvr ${process.argv.slice(2).join(" ")}`,
    jobs: options.jobs,
    fresh: options.fresh,
    signal,
    onKept: (parts) => display.note(`done before: ${parts.join(", ")}`),
    onStart: (part) => display.start(part),
    onProgress: (part, progress) => display.update(part, progress),
    onWhole: (progress) => display.whole(progress),
    onDone: (part, { seconds, detail }) => display.done(part, seconds, detail),
  });
  if (count === 0) display.note(`nothing to do in ${folder}: every part is done; only the report is written again`);
  const { tables, summary } = await writeReport(folder);
  if (options.record !== undefined) {
    const files = await recordResults(folder, options.record === true ? table : options.record);
    display.note(`recorded: ${files.join(", ")}`);
  }
  if (!options.json) print(`${summary}\n`);
  return { folder, ...tables };
}

export async function resolveSettings(
  table: StudySettings["table"],
  options: ReproduceOptions,
  folder: string,
): Promise<StudySettings> {
  const { rows, seeds, steps, sharedSeed, matmul, plan } = options;
  const base = await baseSettings(table, options);
  return {
    ...base,
    // A plan is no reason to measure.
    matmul:
      plan && !existsSync(join(folder, "settings.json"))
        ? base.matmul
        : await resolveMatmul(matmul, folder, base.threads),
    rows: rows === undefined ? base.rows : readRows(base, rows),
    seeds: seeds === undefined ? base.seeds : Array.from({ length: seeds }, (_, seed) => seed),
    sharedSeed: sharedSeed ?? base.sharedSeed,
    steps: steps === undefined ? base.steps : { pretraining: Math.max(1, Math.round(steps / 8)), tuning: steps },
  };
}

async function baseSettings(
  table: StudySettings["table"],
  { quick, scale, settings: file }: ReproduceOptions,
): Promise<StudySettings> {
  if (file !== undefined) {
    const settings = await readSettingsFile(file);
    if (settings.table === table) return settings;
    throw new ConfigError(`${file} has the settings of ${settings.table}, not of ${table}`);
  }
  const settings = settingsOf(table, scale as StudySettings["scale"]);
  return quick ? quickened(settings) : settings;
}

/** As asked for; else as the folder's study has it; else whatever this machine is faster with. */
async function resolveMatmul(asked: string, folder: string, threads: number): Promise<StudySettings["matmul"]> {
  if (asked !== "auto") return oneOf<StudySettings["matmul"]>("--matmul", asked, ["float32", "bfloat16"]);
  if (existsSync(join(folder, "settings.json"))) return (await readSettings(folder)).matmul;
  return fasterMatmul(threads);
}

function readRows({ table, scale }: StudySettings, text: string): string[] {
  const known = [...studyRows(table, scale).keys()];
  if (text === "all") return known;
  const rows = text.split(",").map((row) => row.trim());
  const unknown = rows.filter((row) => !known.includes(row));
  if (unknown.length === 0) return [...new Set(rows)];
  for (const row of unknown) if (Object.hasOwn(tableNamed(table).rows, row)) recipeOf(table, row, scale); // says why not
  throw new ConfigError(`--rows: ${table} has no ${unknown.join(", ")}; it has ${known.join(", ")}`);
}
