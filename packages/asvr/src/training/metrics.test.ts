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

test("lines reach the file when they are flushed, each once and in order", async () => {
  const folder = newFolder();
  const log = await MetricsLog.open(folder, position);
  log.write({ stage: "tuning", step: 0, loss: 2 });
  log.write({ stage: "tuning", step: 1, loss: Number.NaN });
  expect(existsSync(log.file)).toBe(false);
  await log.flush();
  await log.flush();
  log.write({ stage: "tuning", step: 2, loss: 1 });
  await log.flush();
  expect(textOf(folder)).toBe(
    '{"stage":"tuning","step":0,"loss":2}\n{"stage":"tuning","step":1,"loss":null}\n{"stage":"tuning","step":2,"loss":1}\n',
  );
});

test("the lines of a scope that fails are kept", async () => {
  const folder = newFolder();
  const failing = async () => {
    await using log = await MetricsLog.open(folder, position);
    log.write({ stage: "tuning", step: 0 });
    throw new RangeError("later");
  };
  await expect(failing()).rejects.toThrow("later");
  expect(textOf(folder)).toBe('{"stage":"tuning","step":0}\n');
});

test("a resumed run takes out the lines of steps that it makes again, and one that a crash cut short", async () => {
  const folder = newFolder();
  const line = (stage: string, step: number) => `{"stage":"${stage}","step":${step}}\n`;
  const kept = [line("pretraining", 0), line("pretraining", 9), line("tuning", 0), line("tuning", 3)].join("");
  const again = [line("tuning", 4), line("tuning", 5)].join("");
  writeFileSync(join(folder, "metrics.jsonl"), `${kept}${again}{"stage":"tuning","st`);
  const log = await MetricsLog.open(folder, { ...position, step: 4 });
  expect(textOf(folder)).toBe(kept);
  log.write({ stage: "tuning", step: 4 });
  await log.flush();
  expect(textOf(folder)).toBe(kept + line("tuning", 4));
  expect(readdirSync(folder)).toEqual(["metrics.jsonl"]);
});
