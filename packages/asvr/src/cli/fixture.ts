import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { demoSettings, quickened, type StudySettings } from "../parts/settings.js";

export const bin = fileURLToPath(new URL("../../bin/asvr.js", import.meta.url));
if (!existsSync(new URL("../../dist/cli/main.js", import.meta.url))) {
  throw new Error("tests of the command line run what is compiled: npm run build");
}

const small = <T extends object>(training: T): T => ({ ...training, steps: 3, batchSize: 8 });
const { encoder, tokenizers, languageModel } = quickened(demoSettings);

/** A whole study in seconds; its scores mean nothing. */
export const tinySettings: StudySettings = {
  ...quickened(demoSettings),
  rows: ["llava", "llava-equal-time", "appearance", "asvr"],
  world: { encoder: 24, text: 24, train: 24, test: 5, novel: 4, questionsPerImage: 2, things: "standard" },
  encoder: { cells: small(encoder.cells), scenes: small(encoder.scenes) },
  tokenizers: { semantic: small(tokenizers.semantic), appearance: small(tokenizers.appearance) },
  languageModel: small(languageModel),
  steps: { pretraining: 3, tuning: 4 },
};

export interface Outcome {
  /** The signal's name where one ended it. */
  status: number | string | null;
  stdout: string;
  stderr: string;
}

/** A command that runs, in a process group of its own as a terminal starts it. */
export interface RunningCommand {
  pid: number;
  ended: Promise<Outcome>;
}

export function startAsvr(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): RunningCommand {
  const child = spawn(process.execPath, [bin, ...args], { ...options, detached: true });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
    });
  }
  const ended = new Promise<Outcome>((resolve) =>
    child.on("close", (status, signal) => resolve({ status: status ?? signal, ...output })),
  );
  const pid = child.pid!;
  running.add(pid);
  void ended.then(() => running.delete(pid));
  return { pid, ended };
}

// Commands that are still running when a file's tests are over: one that failed leaves nothing behind. Not at the end of
// each test: tests run side by side, and vitest's hook would then belong to another one.
const running = new Set<number>();
afterAll(() => {
  for (const pid of running) process.kill(-pid, "SIGKILL");
});

export function asvr(...args: string[]): Promise<Outcome> {
  return startAsvr(args).ended;
}

/** A folder that is deleted after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "asvr-cli-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function writeSettings(folder: string, changes: Partial<StudySettings> = {}): string {
  const file = join(folder, "tiny.json");
  writeFileSync(file, JSON.stringify({ ...tinySettings, ...changes }));
  return file;
}

export function readJson<T = Record<string, unknown>>(...path: string[]): T {
  return JSON.parse(readFileSync(join(...path), "utf8"));
}
