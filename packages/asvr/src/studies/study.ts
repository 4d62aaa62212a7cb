import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { availableParallelism, cpus, platform, release } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../errors.js";
import { writeJson } from "../files.js";
import { partsOf } from "../parts/identity.js";
import type { PartProgress } from "../parts/part.js";
import { rowSettings, type StudySettings, settingsSchema, studyRecipe } from "../parts/settings.js";
import { requireNoForeignModel } from "../parts/start.js";
import type { Recipe } from "../recipes/recipe.js";
import { Lock } from "../runs/lock.js";
import { type PartRecord, readPart } from "../runs/part-record.js";
import { readStudy, type Study } from "../runs/run-folder.js";
import { Interrupted } from "../training/trainer.js";
import { PartProcess } from "./part-process.js";
import { notesOf, type Part, planShared, planStudy, rowRecipe } from "./plan.js";
import { revision, versions } from "./provenance.js";
import { nextParts, Whole, type WholeProgress } from "./whole.js";

export interface StudyEvents {
  /** Parts that were finished before; nothing is done for them. */
  onKept?: (parts: readonly string[]) => void;
  onStart?: (part: string) => void;
  onProgress?: (part: string, progress: PartProgress) => void;
  /** After each of these: how far the study is as a whole. */
  onWhole?: (progress: WholeProgress) => void;
  onDone?: (part: string, record: Pick<PartRecord, "seconds" | "detail">) => void;
}

export interface StudyOptions extends StudyEvents {
  folder: string;
  settings: StudySettings;
  /** What the report says was run. */
  command: string;
  /** Parts that run side by side; by default as many as the cores allow. */
  jobs?: number;
  /** Makes the shared parts of this recipe, and none of the study's rows: what the folder says of the study stays. */
  partsFor?: Recipe;
  /** Deletes what the folder holds of a study with other settings, instead of refusing it. */
  fresh?: boolean;
  signal: AbortSignal;
}

/**
 * Runs all parts of a study that are not done yet, independent ones side by side, each in a process of its own.
 * @returns how many parts were run; 0 when all of them were done before
 * @throws ConfigError when the folder holds parts that were made with other settings, or another process works on it
 * @throws Interrupted when the signal fired; everything is saved
 * @throws Error of the first part that failed, after the others were stopped and saved
 */
export async function runStudy(options: StudyOptions): Promise<number> {
  const { folder, partsFor } = options;
  const settings = settingsSchema.parse(options.settings);
  const parts = partsFor ? planShared(settings, [partsFor]) : planStudy(settings);
  requireNoForeignModel(folder);
  await mkdir(folder, { recursive: true });
  if (partsFor && (await areDone(folder, parts))) return 0; // another process may well work on the rows
  const lock = await Lock.hold(join(folder, "study.lock"), { what: folder });
  try {
    await requireSameSettings(options, parts);
    await writeJson(join(folder, "settings.json"), settings);
    if (partsFor) return await runParts({ ...options, settings }, parts, async () => {});
    const record = new StudyRecord(options, settings, parts, await previousStudy(folder, parts));
    await record.write();
    const count = await runParts({ ...options, settings }, parts, () => record.write());
    await record.finish(count);
    return count;
  } finally {
    await lock.release();
  }
}

async function runParts(options: StudyOptions, parts: readonly Part[], onChange: () => Promise<void>): Promise<number> {
  const { folder, settings } = options;
  const jobs = options.jobs ?? Math.max(1, Math.floor(availableParallelism() / settings.threads));
  const records = await partRecords(folder, parts);
  const done = new Set([...records.values()].filter(({ state }) => state === "done").map(({ name }) => name));
  const whole = new Whole(parts, records, jobs);
  const running = new Map<string, Promise<void>>();
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  let started = 0;
  let failure: unknown;

  if (done.size > 0) options.onKept?.([...done]);
  const fail = (error: unknown) => {
    // A part that was stopped because another failed, or by Ctrl-C, is not the reason.
    if (failure === undefined || failure instanceof Interrupted) failure = error;
    stop.abort();
  };
  const start = (part: Part) => {
    started++;
    whole.start(part.name);
    options.onStart?.(part.name);
    const onProgress = (progress: PartProgress) => {
      whole.update(part.name, progress);
      options.onProgress?.(part.name, progress);
      options.onWhole?.(whole.progress());
    };
    const child = new PartProcess(folder, part, { recipe: options.partsFor, onProgress, signal });
    const finished = child.finished.then(async (record) => {
      done.add(part.name);
      whole.finish(part.name, record);
      options.onDone?.(part.name, record);
      await onChange();
    });
    running.set(
      part.name,
      finished.catch(fail).finally(() => running.delete(part.name)),
    );
  };
  for (;;) {
    const next = signal.aborted ? [] : nextParts(parts, done, running, jobs);
    for (const part of next) start(part);
    if (running.size === 0) break;
    options.onWhole?.(whole.progress());
    await Promise.race(running.values());
  }
  if (failure !== undefined && !(failure instanceof Interrupted)) throw failure;
  if (done.size < parts.length) {
    throw new Interrupted(`${folder}: stopped and saved; the same command goes on from here`);
  }
  return started;
}

async function partRecords(folder: string, parts: readonly Part[]): Promise<Map<string, PartRecord>> {
  const records = await Promise.all(parts.map(({ name }) => readPart(folder, name)));
  return new Map(records.filter((record) => record !== undefined).map((record) => [record.name, record]));
}

async function areDone(folder: string, parts: readonly Part[]): Promise<boolean> {
  const records = await partRecords(folder, parts);
  return parts.every(({ name, fingerprint }) => {
    const record = records.get(name);
    return record?.state === "done" && record.fingerprint === fingerprint;
  });
}

async function staleParts(folder: string, parts: readonly Part[]): Promise<Part[]> {
  const records = await partRecords(folder, parts);
  return parts.filter(({ name, fingerprint }) => (records.get(name)?.fingerprint ?? fingerprint) !== fingerprint);
}

async function requireSameSettings({ folder, fresh, partsFor }: StudyOptions, parts: readonly Part[]): Promise<void> {
  const stale = await staleParts(folder, parts);
  if (stale.length === 0) return;
  if (!fresh) {
    const records = await partRecords(folder, stale);
    const isEarlier = stale.every(({ name }) => records.get(name)?.reads === undefined);
    throw new ConfigError(
      `${folder} holds ${stale.map(({ name }) => name).join(", ")}, made ` +
        `${isEarlier ? "by an earlier version of asvr: they are still opened, but not gone on with" : "with other settings"}. ` +
        (partsFor
          ? "Name another study with --set startFrom=FOLDER: one that is not there is made by asvr reproduce table1 --out FOLDER."
          : "Choose another folder with --out, or delete those parts and make them again with --fresh."),
    );
  }
  for (const { name, output } of stale) {
    // The record last: until then the output is known to be stale, also after a crash in between.
    await rm(join(folder, output), { recursive: true, force: true });
    await rm(join(folder, "parts", `${name}.json`), { force: true });
  }
}

/** What the folder says of the study so far, unless all of that was deleted. */
async function previousStudy(folder: string, parts: readonly Part[]): Promise<Study | undefined> {
  const records = await Promise.all(parts.map(({ name }) => readPart(folder, name)));
  if (!existsSync(join(folder, "study.json")) || records.every((record) => !record)) return undefined;
  return readStudy(folder);
}

/** `study.json`: what the report needs to know of the study as a whole. */
class StudyRecord {
  readonly #startedAt = new Date();
  #writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly options: StudyOptions,
    private readonly settings: StudySettings,
    private readonly parts: readonly Part[],
    private readonly before: Study | undefined,
  ) {}

  /** One after the other, although parts end at any time: what is written last is newest. */
  write(finishedAt?: string): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(finishedAt));
    return this.#writing;
  }

  /** @param count parts that were run: a call that had nothing to do does not change when the study was finished */
  finish(count: number): Promise<void> {
    return this.write((count === 0 && this.before?.finishedAt) || new Date().toISOString());
  }

  async #write(finishedAt?: string): Promise<void> {
    const { folder, command } = this.options;
    const { settings, before } = this;
    const records = await Promise.all(this.parts.map(({ name }) => readPart(folder, name)));
    const done = records.filter((record) => record?.state === "done") as PartRecord[];
    const wasFinished = finishedAt !== undefined && finishedAt === before?.finishedAt;
    const seconds = (Date.now() - this.#startedAt.getTime()) / 1000;
    const study: Study = {
      table: settings.table,
      scale: settings.scale,
      command,
      startedAt: before?.startedAt ?? this.#startedAt.toISOString(),
      ...(finishedAt && { finishedAt }),
      elapsedSeconds: wasFinished ? before.elapsedSeconds : (before?.elapsedSeconds ?? 0) + seconds,
      ...(await revision()),
      versions: versions(),
      machine: {
        cpu: cpus()[0]?.model ?? "unknown",
        cores: availableParallelism(),
        threads: settings.threads,
        platform: `${platform()} ${release()} ${process.arch}`,
      },
      seeds: settings.seeds,
      tokenizers: partsOf(studyRecipe(settings)).tokenizers,
      rows: await Promise.all(settings.rows.map((row) => describeRow(folder, settings, row))),
      parts: done.map(({ name, seconds, detail }) => ({ name, seconds, ...(detail && { detail }) })),
    };
    await writeJson(join(folder, "study.json"), study);
  }
}

async function describeRow(folder: string, settings: StudySettings, row: string) {
  const isCalibrated = existsSync(join(folder, "calibration.json"));
  const notes = notesOf(settings, row);
  const recipe =
    notes.role === "equal-time" && !isCalibrated
      ? rowSettings(settings, row)
      : await rowRecipe(folder, settings, row, settings.seeds[0]!);
  const { title, supervision, visualInput, stages } = recipe;
  return {
    id: row,
    title,
    supervision: supervision.kind,
    alignment: supervision.alignment,
    visualInput,
    seeds: settings.seeds,
    steps: { pretraining: stages.pretraining.steps, tuning: stages.tuning.steps },
    ...notes,
  };
}
