import { spawn } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Recipe } from "asvr";
import { BenchError } from "../harness/sides.js";

/** What the demo left in its folder, as far as the bench reads it. */
export interface Study {
  settings: { rows: string[]; seeds: number[]; threads: number; matmul: string };
  /** As they ran: the equal-time row with the steps that it got. */
  recipes: Record<string, Recipe>;
}

const splits = ["test-seen", "test-novel"] as const;
/** Share of right answers on each test set: the mean over the types of its questions. */
export type Scores = Record<(typeof splits)[number], number>;

const main = join(dirname(createRequire(import.meta.url).resolve("asvr/package.json")), "bin", "asvr.js");

/** Runs the demo's command into a folder that is made anew. @returns its wall time in seconds */
export async function asvrCommand(folder: string, { quick, jobs }: { quick: boolean; jobs: number }): Promise<number> {
  await rm(folder, { recursive: true, force: true });
  const options = ["--scale", "micro", "--out", folder, "--jobs", String(jobs), ...(quick ? ["--quick"] : [])];
  const started = performance.now();
  // Its progress is shown; its table is not this command's result.
  const child = spawn(process.execPath, [main, "reproduce", "table1", ...options], { stdio: ["ignore", "ignore", 2] });
  await new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve();
      else reject(new BenchError(`asvr reproduce ended with status ${code}`));
    });
  });
  return (performance.now() - started) / 1000;
}

export async function studyOf(folder: string): Promise<Study> {
  const settings = await readJson<Study["settings"]>(join(folder, "settings.json"));
  const recipes: Study["recipes"] = {};
  for (const row of settings.rows) {
    const { madeWith: _, ...recipe } = await readJson<Recipe & { madeWith: unknown }>(
      join(folder, `${row}-s${settings.seeds[0]}`, "recipe.json"),
    );
    recipes[row] = recipe;
  }
  return { settings, recipes };
}

/** Wall time of every part, rows by their id. */
export async function secondsOfParts(folder: string): Promise<Record<string, number>> {
  const seconds: Record<string, number> = {};
  for (const file of await readdir(join(folder, "parts"))) {
    if (!file.endsWith(".json")) continue;
    const part = await readJson<{ name: string; seconds: number }>(join(folder, "parts", file));
    seconds[part.name.replace(/-s\d+$/, "")] = part.seconds;
  }
  return seconds;
}

export async function meanExactMatch(folder: string, { rows, seeds }: Study["settings"]) {
  const scores: Record<string, Scores> = {};
  for (const row of rows) {
    const shares = await Promise.all(
      splits.map(async (split) => {
        const file = join(folder, `${row}-s${seeds[0]}`, "evaluation", split, "predictions.jsonl");
        const lines = (await readFile(file, "utf8")).trim().split("\n");
        return [split, meanOverTypes(lines.map((line) => JSON.parse(line)))] as const;
      }),
    );
    scores[row] = Object.fromEntries(shares) as Scores;
  }
  return scores;
}

function meanOverTypes(answers: readonly { type: string; correct: boolean }[]): number {
  const byType = new Map<string, { right: number; asked: number }>();
  for (const { type, correct } of answers) {
    const counts = byType.get(type) ?? { right: 0, asked: 0 };
    byType.set(type, { right: counts.right + Number(correct), asked: counts.asked + 1 });
  }
  const shares = Array.from(byType.values(), ({ right, asked }) => right / asked);
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

async function readJson<T>(file: string): Promise<T> {
  return JSON.parse(await readFile(file, "utf8")) as T;
}
