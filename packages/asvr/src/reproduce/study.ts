import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { availableParallelism, cpus, platform, release } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { nn, runtimeInfo, setThreads } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { rowNotes, table1, table1Rows } from "../recipes/table1.js";
import type { Study } from "../report/run-folder.js";
import { PartProcess } from "./part-process.js";
import { type PartProgress, type PartRecord, readPart, writeJson } from "./parts/part.js";
import { type Part, planStudy, rowRecipe } from "./plan.js";
import { type StudySettings, settingsSchema } from "./settings.js";

export interface StudyEvents {
  /** A part that was finished before; nothing is done for it. */
  onKept?: (part: string) => void;
  onStart?: (part: string) => void;
  onProgress?: (part: string, progress: PartProgress) => void;
  onDone?: (part: string, record: PartRecord) => void;
}

export interface StudyOptions extends StudyEvents {
  folder: string;
  settings: StudySettings;
  /** What the report says was run. */
  command: string;
  /** Parts that run side by side; by default as many as the cores allow. */
  jobs?: number;
  /** Only these parts; the others wait for another call. */
  only?: readonly string[];
  /** Deletes what the folder holds of a study with other settings, instead of refusing it. */
  fresh?: boolean;
  signal: AbortSignal;
}

/**
 * Runs all parts of a study that are not done yet, independent ones side by side, each in a process of its own.
 * @throws ConfigError when the folder holds parts that were made with other settings
 * @throws Error of the first part that failed, after the others were stopped and saved
 */
export async function runStudy(options: StudyOptions): Promise<void> {
  const { folder, settings } = options;
  await mkdir(folder, { recursive: true });
  const planned = planStudy(settings);
  const parts = options.only ? planned.filter(({ name }) => options.only!.includes(name)) : planned;
  await requireSameSettings(options, parts);
  await writeJson(join(folder, "settings.json"), settings);
  const startedAt = await firstStart(folder);
  await writeStudy(options, parts, startedAt);
  await runParts(options, parts, () => writeStudy(options, parts, startedAt));
  if (!options.only) await writeStudy(options, parts, startedAt, new Date().toISOString());
}

/** Reads the settings of a study's folder. @throws ConfigError when there are none */
export async function readSettings(folder: string): Promise<StudySettings> {
  const file = join(folder, "settings.json");
  if (!existsSync(file)) throw new ConfigError(`${file} does not exist: ${folder} is not the folder of a study`);
  return settingsSchema.parse(JSON.parse(await readFile(file, "utf8")));
}

/** Threads and dtype of the matrix products, as a study's settings say: results are equal only where these are. */
export function useSettings({ threads, matmul }: StudySettings): void {
  setThreads(threads);
  nn.setMatmulDtype(matmul === "float32" ? undefined : matmul);
}

async function runParts(options: StudyOptions, parts: readonly Part[], onChange: () => Promise<void>): Promise<void> {
  const { folder, settings, signal } = options;
  const jobs = options.jobs ?? Math.max(1, Math.floor(availableParallelism() / settings.threads));
  const done = new Set<string>();
  const running = new Map<string, Promise<void>>();
  const stop = new AbortController();
  const onAbort = () => stop.abort();
  signal.addEventListener("abort", onAbort, { once: true });
  let failure: unknown;

  for (const { name } of parts) {
    if ((await readPart(folder, name))?.state !== "done") continue;
    done.add(name);
    options.onKept?.(name);
  }
  const start = (part: Part) => {
    options.onStart?.(part.name);
    const process = new PartProcess(folder, part, (progress) => options.onProgress?.(part.name, progress), stop.signal);
    const finished = process.finished.then(
      async (record) => {
        done.add(part.name);
        options.onDone?.(part.name, record);
        await onChange();
      },
      (error) => {
        failure ??= error;
        stop.abort();
      },
    );
    running.set(
      part.name,
      finished.finally(() => running.delete(part.name)),
    );
  };
  while (done.size < parts.length) {
    const ready = stop.signal.aborted
      ? []
      : parts.filter(
          ({ name, needs }) => !done.has(name) && !running.has(name) && needs.every((need) => done.has(need)),
        );
    for (const part of ready.slice(0, jobs - running.size)) start(part);
    if (running.size === 0) break;
    await Promise.race(running.values());
  }
  signal.removeEventListener("abort", onAbort);
  if (failure) throw failure;
}

async function requireSameSettings({ folder, fresh }: StudyOptions, parts: readonly Part[]): Promise<void> {
  const stale: Part[] = [];
  for (const part of parts) {
    const record = await readPart(folder, part.name);
    if (record && record.fingerprint !== part.fingerprint) stale.push(part);
  }
  if (stale.length === 0) return;
  if (!fresh) {
    throw new ConfigError(
      `${folder} holds ${stale.map(({ name }) => name).join(", ")}, made with other settings. ` +
        "Choose another folder with --out, or delete those parts and make them again with --fresh.",
    );
  }
  for (const { name, output } of stale) {
    await rm(join(folder, "parts", `${name}.json`), { force: true });
    await rm(join(folder, output), { recursive: true, force: true });
  }
}

async function firstStart(folder: string): Promise<string> {
  const file = join(folder, "study.json");
  if (!existsSync(file)) return new Date().toISOString();
  return (JSON.parse(await readFile(file, "utf8")) as Study).startedAt;
}

/** `study.json`: what the report needs to know of the study as a whole. */
async function writeStudy(
  { folder, settings, command }: StudyOptions,
  parts: readonly Part[],
  startedAt: string,
  finishedAt?: string,
): Promise<void> {
  const records: PartRecord[] = [];
  for (const { name } of parts) {
    const record = await readPart(folder, name);
    if (record?.state === "done") records.push(record);
  }
  const { libtorch, source } = runtimeInfo();
  const study: Study = {
    table: settings.table,
    scale: settings.scale,
    command,
    startedAt,
    ...(finishedAt && { finishedAt }),
    ...(await revision()),
    versions: { node: process.version, libtorch: `${libtorch} (${source})` },
    machine: {
      cpu: cpus()[0]?.model ?? "unknown",
      cores: availableParallelism(),
      threads: settings.threads,
      platform: `${platform()} ${release()} ${process.arch}`,
    },
    seeds: settings.seeds,
    rows: await Promise.all(settings.rows.map((row) => describeRow(folder, settings, row))),
    parts: records.map(({ name, seconds, detail }) => ({ name, seconds, ...(detail && { detail }) })),
  };
  await writeJson(join(folder, "study.json"), study);
}

async function describeRow(folder: string, settings: StudySettings, row: StudySettings["rows"][number]) {
  const isCalibrated = existsSync(join(folder, "calibration.json"));
  const needsCalibration = rowNotes(row).role === "equal-time";
  const recipe =
    needsCalibration && !isCalibrated
      ? table1(row, "micro")
      : await rowRecipe(folder, settings, row, settings.seeds[0]!);
  const { supervision, visualInput, stages } = recipe;
  return {
    id: row,
    title: table1Rows[row].title,
    supervision: supervision.kind,
    alignment: supervision.alignment,
    visualInput,
    seeds: settings.seeds,
    steps: { pretraining: stages.pretraining.steps, tuning: stages.tuning.steps },
    ...rowNotes(row),
  };
}

async function revision(): Promise<{ revision?: string }> {
  try {
    const { stdout } = await promisify(execFile)("git", ["rev-parse", "--short", "HEAD"]);
    return { revision: stdout.trim() };
  } catch {
    return {}; // installed from a package, not from a clone
  }
}
