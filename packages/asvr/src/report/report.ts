/**
 * The report of a study: collects a run folder into one value and writes `tables.json`, `report.md` and `report.html`.
 * The three say the same, since all of them are made from that value.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { baselineId, type RowRuns, type SeedRun, type Tables, tabulate } from "../evaluation/table.js";
import { writeJson, writeWhole } from "../files.js";
import {
  type AttentionSample,
  type MetricsLine,
  RunFolderError,
  readAttention,
  readManifest,
  readMetrics,
  readPredictions,
  readResult,
  readStudy,
  readTokenizers,
  type Study,
  type StudyRow,
  type TokenizerSummary,
  type WorldManifest,
} from "../runs/run-folder.js";
import { type AttentionPair, pairAttention } from "./attention.js";
import { renderHtml } from "./html.js";
import { renderMarkdown } from "./markdown.js";
import { type Finding, readTable } from "./reading.js";
import { pickSamples, type Sample } from "./samples.js";
import { summarize } from "./summary.js";

export interface ReportSeed extends SeedRun {
  metrics?: MetricsLine[];
  attention?: AttentionSample[];
}

export interface ReportRow {
  row: StudyRow;
  seeds: ReportSeed[];
}

export interface Report {
  study: Study;
  manifest?: WorldManifest;
  tokenizers?: TokenizerSummary;
  rows: ReportRow[];
  tables: Tables;
  findings: Finding[];
  samples: Sample[];
  attention: AttentionPair[];
  /** Path inside the run folder -> data URI, for every picture that the report shows and that exists. */
  pictures: ReadonlyMap<string, string>;
  /** What a complete study would have and this one lacks, in words. */
  missing: string[];
}

/** The table of a run folder, computed anew from its predictions. */
export async function buildTables(runFolder: string): Promise<Tables> {
  return (await buildReportTables(runFolder)).tables;
}

/** A study and its tables, computed anew from the predictions. */
export async function buildReportTables(runFolder: string): Promise<{ study: Study; tables: Tables }> {
  const study = await readStudy(runFolder);
  return { study, tables: tabulate(study, await readManifest(runFolder), await readRows(runFolder, study)) };
}

/** Writes the three files (each under a temporary name first, so a reader never sees half of one). */
export async function writeReport(runFolder: string): Promise<{ tables: Tables; summary: string }> {
  const report = await collect(runFolder);
  await writeJson(path.join(runFolder, "tables.json"), report.tables);
  await writeWhole(path.join(runFolder, "report.md"), renderMarkdown(report));
  await writeWhole(path.join(runFolder, "report.html"), renderHtml(report));
  return { tables: report.tables, summary: summarize(report, path.join(runFolder, "report.html")) };
}

export async function collect(runFolder: string): Promise<Report> {
  const study = await readStudy(runFolder);
  const manifest = await readManifest(runFolder);
  const tokenizers = await readTokenizers(runFolder, study.tokenizers);
  const rows = await readDetails(runFolder, await readRows(runFolder, study));
  const tables = tabulate(study, manifest, rows);
  const samples = pickSamples(rows);
  const [base, method] = shownPair(study);
  const attention = pairAttention(attentionOf(rows, base), attentionOf(rows, method));
  const wanted = [
    ...samples.map((sample) => sample.image),
    ...attention.map((pair) => pair.image),
    ...(tokenizers?.reconstructions.flatMap(({ original, appearance }) => [original, appearance]) ?? []),
  ];
  const pictures = await readPictures(runFolder, wanted);
  const missing = [
    ...(study.finishedAt ? [] : ["the study has not finished: study.json has no finishedAt"]),
    ...(manifest ? [] : ["data/manifest.json: no majority shares, no licences"]),
    ...(tokenizers ? [] : ["tokenizers/summary.json: nothing about the tokenizers"]),
    ...tables.missing,
    ...rows.flatMap(missingOfRow),
    ...(attention.length > 0 ? [] : [`no attention maps shared by ${base} and ${method}`]),
    ...[...new Set(wanted)].filter((picture) => !pictures.has(picture)).map((picture) => `picture ${picture}`),
  ];
  const findings = readTable(tables, study.rows);
  return { study, manifest, tokenizers, rows, tables, findings, samples, attention, pictures, missing };
}

/** What the table needs of each row and seed. */
async function readRows(runFolder: string, study: Study): Promise<RowRuns[]> {
  const rows: RowRuns[] = [];
  for (const row of study.rows) {
    const seeds: SeedRun[] = [];
    for (const seed of row.seeds) {
      const [seen, novel, result] = await Promise.all([
        readPredictions(runFolder, row.id, seed, "test-seen"),
        readPredictions(runFolder, row.id, seed, "test-novel"),
        readResult(runFolder, row.id, seed),
      ]);
      seeds.push({ seed, predictions: { "test-seen": seen, "test-novel": novel }, result });
    }
    rows.push({ row, seeds });
  }
  return rows;
}

/** The rows with what the page shows beside their scores. */
async function readDetails(runFolder: string, runs: readonly RowRuns[]): Promise<ReportRow[]> {
  const rows: ReportRow[] = [];
  for (const { row, seeds } of runs) {
    const detailed = seeds.map(async (seed): Promise<ReportSeed> => {
      const metrics = await readMetrics(runFolder, row.id, seed.seed);
      return { ...seed, metrics, attention: await readAttention(runFolder, row.id, seed.seed) };
    });
    rows.push({ row, seeds: await Promise.all(detailed) });
  }
  return rows;
}

function missingOfRow({ row, seeds }: ReportRow): string[] {
  const lacking = (what: string, has: (seed: ReportSeed) => unknown) => {
    const absent = seeds.filter((seed) => !has(seed)).map(({ seed }) => `${row.id}-s${seed}`);
    return absent.length > 0 ? [`${what} of ${absent.join(", ")}`] : [];
  };
  return [
    ...lacking("result.json", (seed) => seed.result),
    ...lacking("metrics.jsonl", (seed) => seed.metrics?.length),
  ];
}

/** The two rows whose attention is shown side by side: a baseline, and ASVR. */
function shownPair({ rows }: Study): [base: string, method: string] {
  const ids = rows.map(({ id }) => id);
  const compared = rows.find(({ against, supervision }) => supervision === "semantic" && ids.includes(against ?? ""));
  return ids.includes(baselineId) || !compared?.against ? [baselineId, "asvr"] : [compared.against, compared.id];
}

function attentionOf(rows: readonly ReportRow[], id: string): AttentionSample[] {
  const row = rows.find((one) => one.row.id === id);
  return row?.seeds.find((seed) => seed.attention)?.attention ?? [];
}

const mediaTypes: Record<string, string> = {
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".jpeg": "image/jpeg",
  ".webp": "image/webp",
};

/** Pictures as data URIs, so that the page needs no other file. SVG is left out: it could carry script. */
async function readPictures(runFolder: string, names: readonly string[]): Promise<Map<string, string>> {
  const pictures = new Map<string, string>();
  for (const name of new Set(names)) {
    const file = path.resolve(runFolder, name);
    const mediaType = mediaTypes[path.extname(name).toLowerCase()];
    if (!mediaType || !file.startsWith(path.resolve(runFolder) + path.sep)) {
      throw new RunFolderError(`picture ${name}: a png, jpg or webp inside ${runFolder} is expected`);
    }
    const content = await readFile(file).catch(() => undefined);
    if (content) pictures.set(name, `data:${mediaType};base64,${content.toString("base64")}`);
  }
  return pictures;
}
