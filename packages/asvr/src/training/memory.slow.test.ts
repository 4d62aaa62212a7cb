import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory, setThreads } from "@asvr/torch";
import { expect, test } from "vitest";
import { TinyObjective, tinyTraining } from "./fixture.js";
import { train } from "./trainer.js";

setThreads(1);

test("1,000 training steps leave as many live tensors as 10, and the memory of the process where it was", async () => {
  const folder = mkdtempSync(join(tmpdir(), "asvr-memory-"));
  const before = memory().tensors;
  const alive: number[] = [];
  const bytes: number[] = [];
  const resident: number[] = [];
  {
    using objective = new TinyObjective((step) => {
      alive[step] = memory().tensors;
      bytes[step] = memory().bytes;
      const { rss, heapTotal } = process.memoryUsage();
      resident[step] = rss - heapTotal; // V8 collects its own when it likes
    });
    await train(objective, tinyTraining(folder, { steps: 1001, saveEverySeconds: 1, logEvery: 10 }));
  }
  rmSync(folder, { recursive: true });
  expect(alive[1000]).toBe(alive[10]);
  expect(bytes[1000]).toBe(bytes[10]);
  expect(memory().tensors).toBe(before);
  // The allocator and V8 settle in the first steps: what counts is that nothing grows after them.
  const megabytes = (from: number) => Math.min(...resident.slice(from, from + 100)) / 2 ** 20;
  expect(megabytes(900) - megabytes(400)).toBeLessThan(16);
}, 120_000);
