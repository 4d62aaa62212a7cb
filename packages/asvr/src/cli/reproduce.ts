import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../errors.js";
import { allRows, type Table1Row } from "../recipes/table1.js";
import { recordResults } from "../report/record.js";
import { writeReport } from "../report/report.js";
import { fasterMatmul } from "../reproduce/matmul.js";
import { quickened, type StudySettings, settingsOfScale } from "../reproduce/settings.js";
import { readSettings, readSettingsFile, runStudy } from "../reproduce/study.js";
import { interruptSignal, oneOf, printJson } from "./options.js";
import { progressDisplay } from "./progress.js";

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
  record?: string | true;
  json: boolean;
}

/** Runs a study, or what is left of it, and writes its report. */
export async function reproduce(table: string, options: ReproduceOptions): Promise<void> {
  oneOf("the table", table, ["table1"]);
  const scale = oneOf<StudySettings["scale"]>("--scale", options.scale, ["micro", "small"]);
  const folder = options.out ?? (options.quick ? "runs/quick" : scale === "micro" ? "runs/demo" : `runs/${scale}`);
  const settings = await resolveSettings(options, folder);
  const display = progressDisplay();
  try {
    const count = await runStudy({
      folder,
      settings,
      command: `asvr ${process.argv.slice(2).join(" ")}`,
      jobs: options.jobs,
      fresh: options.fresh,
      signal: interruptSignal(display),
      onKept: (parts) => display.note(`done before: ${parts.join(", ")}`),
      onStart: (part) => display.start(part),
      onProgress: (part, progress) => display.update(part, progress),
      onDone: (part, { seconds, detail }) => display.done(part, seconds, detail),
    });
    if (count === 0) display.note(`nothing to do in ${folder}: every part is done; only the report is written again`);
  } finally {
    display.close();
  }
  const { tables, summary } = await writeReport(folder);
  if (options.record !== undefined) {
    const files = await recordResults(folder, options.record === true ? table : options.record);
    display.note(`recorded: ${files.join(", ")}`);
  }
  if (options.json) printJson({ folder, ...tables });
  else process.stdout.write(`${summary}\n`);
}

async function resolveSettings(options: ReproduceOptions, folder: string): Promise<StudySettings> {
  const { rows, seeds, steps, sharedSeed, matmul } = options;
  const base = await baseSettings(options);
  return {
    ...base,
    matmul: await resolveMatmul(matmul, folder, base.threads),
    rows: rows === undefined ? base.rows : readRows(rows),
    seeds: seeds === undefined ? base.seeds : Array.from({ length: seeds }, (_, seed) => seed),
    sharedSeed: sharedSeed ?? base.sharedSeed,
    steps: steps === undefined ? base.steps : { pretraining: Math.max(1, Math.round(steps / 8)), tuning: steps },
  };
}

async function baseSettings({ quick, scale, settings: file }: ReproduceOptions): Promise<StudySettings> {
  if (file !== undefined) return readSettingsFile(file);
  const settings = settingsOfScale[scale as StudySettings["scale"]];
  return quick ? quickened(settings) : settings;
}

/** As asked for; else as the folder's study has it; else whatever this machine is faster with. */
async function resolveMatmul(asked: string, folder: string, threads: number): Promise<StudySettings["matmul"]> {
  if (asked !== "auto") return oneOf<StudySettings["matmul"]>("--matmul", asked, ["float32", "bfloat16"]);
  if (existsSync(join(folder, "settings.json"))) return (await readSettings(folder)).matmul;
  return fasterMatmul(threads);
}

function readRows(text: string): Table1Row[] {
  if (text === "all") return [...allRows];
  const rows = text.split(",").map((row) => row.trim());
  const unknown = rows.filter((row) => !(allRows as string[]).includes(row));
  if (unknown.length > 0)
    throw new ConfigError(`--rows: table1 has no ${unknown.join(", ")}; it has ${allRows.join(", ")}`);
  return [...new Set(rows)] as Table1Row[];
}
