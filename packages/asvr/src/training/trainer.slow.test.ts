import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { memory, setThreads } from "@asvr/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { latestCheckpoint } from "./checkpoint.js";
import { TinyObjective, tinyTraining } from "./fixture.js";
import { type Outcome, outcome, readLines, trainUntil } from "./trainer.fixture.js";
import { type Progress, train } from "./trainer.js";

setThreads(1); // equal to the bit only where the number of threads is; and test files run side by side

const root = mkdtempSync(join(tmpdir(), "asvr-killed-"));
let folderCount = 0;
const newFolder = () => join(root, `run-${folderCount++}`);
afterAll(() => rmSync(root, { recursive: true }));

let unbroken: Outcome & { weights: string };
beforeAll(async () => {
  const folder = newFolder();
  unbroken = { weights: await trainUntil(folder, undefined, {}), ...(await outcome(folder)) };
});

/** Trains in a process of its own, which reads the sources as vitest does; it says every step that it begins. */
function trainingProcess(folder: string, saveEverySeconds: number) {
  const here = dirname(fileURLToPath(import.meta.url));
  const program = `
    import { runnerImport } from "vite";
    const resolve = { alias: { "@asvr/torch": ${JSON.stringify(join(here, "..", "..", "..", "torch", "src", "index.ts"))} } };
    const config = { configFile: false, logLevel: "error", esbuild: { target: "es2022" }, resolve };
    const { module } = await runnerImport(${JSON.stringify(join(here, "fixture.ts"))}, config);
    await module.trainAndTell(${JSON.stringify(folder)}, ${saveEverySeconds});
  `;
  return spawn(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: here,
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** @param killAfter steps and milliseconds after which the process is killed @returns the steps that it began */
async function runProcess(folder: string, killAfter?: { steps: number; milliseconds: number }, saveEverySeconds = 0) {
  const child = trainingProcess(folder, saveEverySeconds);
  const steps: number[] = [];
  let isKilling = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    steps.push(...text.trim().split("\n").map(Number));
    if (!killAfter || isKilling || steps.length < killAfter.steps) return;
    isKilling = true;
    setTimeout(() => child.kill("SIGKILL"), killAfter.milliseconds);
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on("close", (...ended) => resolve(ended)),
  );
  return { steps, code, signal };
}

test("killed at any moments and continued, a run is the unbroken one to the bit", async () => {
  const folder = newFolder();
  const random = (most: number) => Math.random() * most;
  let seen = -1;
  for (let kills = 0; kills < 3; kills++) {
    const killAfter = { steps: 2 + Math.floor(random(3)), milliseconds: random(25) };
    const { steps, code, signal } = await runProcess(folder, killAfter);
    if (code === 0) break; // it was faster than the kill
    expect(signal).toBe("SIGKILL");
    // Every step is saved before the next one begins.
    expect(steps[0]).toBeGreaterThanOrEqual(seen);
    seen = steps.at(-1)!;
  }
  const { code, steps } = await runProcess(folder);
  expect(code).toBe(0);
  if (steps.length > 0) expect(steps[0]).toBeGreaterThanOrEqual(seen);
  expect(await outcome(folder)).toEqual({ files: unbroken.files, lines: unbroken.lines });
});

test("killed before anything is saved, a run has logged what it did, and its log is the unbroken one's after it is made", async () => {
  const folder = newFolder();
  const { signal } = await runProcess(folder, { steps: 4, milliseconds: 0 }, Number.POSITIVE_INFINITY);
  expect(signal).toBe("SIGKILL");
  expect(await latestCheckpoint(folder)).toBeUndefined();
  // The fourth step had begun, so that the first three are in the log.
  const steps = readLines(folder).map(({ step }) => step);
  expect(steps.slice(0, 3)).toEqual([0, 1, 2]);
  appendFileSync(join(folder, "metrics.jsonl"), '{"stage":"tuning","st'); // as a full disk or a power cut leaves it
  expect(await trainUntil(folder, undefined, {})).toBe(unbroken.weights);
  expect(await outcome(folder)).toEqual({ files: unbroken.files, lines: unbroken.lines });
});

test("100 steps leave as many tensors as 10", async () => {
  using objective = new TinyObjective();
  const tensors: number[] = [];
  const onProgress = (_: Progress) => void tensors.push(memory().tensors);
  await train(objective, tinyTraining(newFolder(), { steps: 100, onProgress }));
  expect(tensors).toHaveLength(100);
  expect(tensors[99]).toBe(tensors[9]);
});
