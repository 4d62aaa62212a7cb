import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { MetricsLog } from "./metrics.js";

const root = mkdtempSync(join(tmpdir(), "asvr-metrics-"));
afterAll(() => rmSync(root, { recursive: true }));
const newFolder = () => mkdtempSync(join(root, "run-"));
const position = { stage: "tuning", stageNumber: 1, step: 0, seconds: 0 };
const textOf = (folder: string) => readFileSync(join(folder, "metrics.jsonl"), "utf8");

test("a line is in the file when it is written, each once and in order", async () => {
  const folder = newFolder();
  const log = await MetricsLog.open(folder, position);
  expect(existsSync(log.file)).toBe(false);
  await log.sync(); // of no line yet
  const written: string[] = [];
  for (const [step, loss] of [2, Number.NaN, 1].entries()) {
    await log.write({ stage: "tuning", step, loss });
    written.push(`{"stage":"tuning","step":${step},"loss":${[2, null, 1][step]}}\n`);
    expect(textOf(folder)).toBe(written.join(""));
    if (step === 1) await log.sync();
  }
});

test("a folder that is gone is named, and does not come back", async () => {
  const folder = newFolder();
  const log = await MetricsLog.open(folder, position);
  rmSync(folder, { recursive: true });
  await expect(log.write({ stage: "tuning", step: 0 })).rejects.toThrow(`${folder} is gone`);
  expect(existsSync(folder)).toBe(false);
});

test("a resumed run takes out the lines of steps that it makes again, and one that a crash cut short", async () => {
  const folder = newFolder();
  const line = (stage: string, step: number) => `{"stage":"${stage}","step":${step}}\n`;
  const kept = [line("pretraining", 0), line("pretraining", 9), line("tuning", 0), line("tuning", 3)].join("");
  const again = [line("tuning", 4), line("tuning", 5)].join("");
  writeFileSync(join(folder, "metrics.jsonl"), `${kept}${again}{"stage":"tuning","st`);
  const log = await MetricsLog.open(folder, { ...position, step: 4 });
  expect(textOf(folder)).toBe(kept);
  await log.write({ stage: "tuning", step: 4 });
  expect(textOf(folder)).toBe(kept + line("tuning", 4));
  expect(readdirSync(folder)).toEqual(["metrics.jsonl"]);
});
