import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CheckpointError, F, memory, setThreads, tidy } from "@asvr/torch";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PackedBatch } from "../data/packing.js";
import { NonFiniteError } from "../errors.js";
import type { GradientSink } from "../layers/gradient-sink.js";
import type { LossCounts } from "../model/lvlm.js";
import { latestCheckpoint } from "./checkpoint.js";
import { TinyObjective, tinyTraining } from "./fixture.js";
import { accumulateLosses } from "./objective.js";
import { type Outcome, outcome, readLines, trainUntil, weightsOf, withoutTimes } from "./trainer.fixture.js";
import { train } from "./trainer.js";

type Losses = ReturnType<TinyObjective["losses"]>;

setThreads(1); // equal to the bit only where the number of threads is; and test files run side by side

const before = memory().tensors;
const root = mkdtempSync(join(tmpdir(), "asvr-trainer-"));
let folderCount = 0;
const newFolder = () => join(root, `run-${folderCount++}`);
afterAll(() => {
  rmSync(root, { recursive: true });
  expect(memory().tensors).toBe(before);
});

let unbroken: Outcome & { weights: string; folder: string };
beforeAll(async () => {
  using objective = new TinyObjective();
  const folder = newFolder();
  const untrained = weightsOf(objective);
  await train(objective, tinyTraining(folder));
  unbroken = { weights: weightsOf(objective), folder, ...(await outcome(folder)) };
  expect(unbroken.weights).not.toBe(untrained);
});

test("learns, and logs every step", () => {
  const lines = readLines(unbroken.folder);
  expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: 14 }, (_, step) => step));
  expect(lines[0]).toMatchObject({ stage: "tuning", learningRate: 0, visionLoss: expect.any(Number) });
  expect(lines[0]!.codeAccuracy).toHaveLength(3);
  const losses = lines.map(({ textLoss }) => textLoss as number);
  expect(Math.min(...losses.slice(-3))).toBeLessThan(losses[0]!);
});

test("logEvery keeps those steps, and the last", async () => {
  using objective = new TinyObjective();
  const folder = newFolder();
  await train(objective, tinyTraining(folder, { logEvery: 5 }));
  expect(weightsOf(objective)).toBe(unbroken.weights);
  const kept = unbroken.lines.filter((_, step) => step % 5 === 0 || step === 13);
  expect((await outcome(folder)).lines).toEqual(kept);
});

test("stopped at any steps and continued, a run is the unbroken one to the bit", async () => {
  const stops = fc.uniqueArray(fc.integer({ min: 0, max: 13 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(stops, fc.constantFrom(0, 1e9), async (steps, saveEverySeconds) => {
      const folder = newFolder();
      for (const stopAt of steps.sort((a, b) => a - b)) await trainUntil(folder, stopAt, { saveEverySeconds });
      expect(await trainUntil(folder, undefined, { saveEverySeconds })).toBe(unbroken.weights);
      expect(await outcome(folder)).toEqual({ files: unbroken.files, lines: unbroken.lines });
    }),
    { numRuns: 5 },
  );
});

test("a finished run that is started again does nothing", async () => {
  const folder = newFolder();
  await trainUntil(folder, undefined, {});
  const steps: number[] = [];
  using objective = new TinyObjective((step) => steps.push(step));
  const seconds = await train(objective, tinyTraining(folder));
  expect(steps).toEqual([]);
  expect(seconds).toBe((await latestCheckpoint(folder))!.seconds);
  expect(weightsOf(objective)).toBe(unbroken.weights);
  expect(await outcome(folder)).toEqual({ files: unbroken.files, lines: unbroken.lines });
});

class BrokenObjective extends TinyObjective {
  constructor(readonly breakLoss: (losses: Losses) => Losses) {
    super((step) => {
      this.#step = step;
    });
  }

  #step = 0;

  override accumulate(batch: PackedBatch, counts: LossCounts, into: GradientSink): Losses {
    if (this.#step !== 4) return super.accumulate(batch, counts, into);
    return accumulateLosses(this.breakLoss(this.losses(batch, counts)), into);
  }
}

test.each([
  ["a loss", (losses: Losses) => ({ ...losses, total: losses.total.mul(Number.NaN) }), /"loss":null/],
  [
    "a gradient of a finite loss", // that of a root at 0
    (losses: Losses) => ({ ...losses, total: losses.total.add(losses.total.sub(losses.total).sqrt()) }),
    /"loss":\d/,
  ],
])("%s that is no number stops the run before it spoils the weights", async (_, breakLoss, shown) => {
  using objective = new BrokenObjective(breakLoss);
  const folder = newFolder();
  const stopped = train(objective, tinyTraining(folder, { saveEverySeconds: 0 }));
  await expect(stopped).rejects.toThrow(NonFiniteError);
  await expect(stopped).rejects.toThrow(
    /^step 4: the gradient's norm is NaN, with .* on samples s\d+, .*; samples s\d+/,
  );
  await expect(stopped).rejects.toThrow(shown);
  // The log ends with the step before, and so does the newest checkpoint.
  expect(readLines(folder).map(withoutTimes)).toEqual(unbroken.lines.slice(0, 4));
  expect(await latestCheckpoint(folder)).toMatchObject({ stage: "tuning", step: 4 });
  const weights = tidy(() => F.stack([...objective.model.parameters()].map((weight) => weight.sum())));
  expect(weights.toNumbers().every(Number.isFinite)).toBe(true);
  weights.dispose();
});

test("what was logged before a run fails is kept, and no gradient", async () => {
  let batches = 0;
  using objective = new BrokenObjective((losses) => {
    if (batches++ === 0) return losses; // the first of two: its gradients have arrived
    throw new RangeError("the disk is full");
  });
  const folder = newFolder();
  await expect(train(objective, tinyTraining(folder))).rejects.toThrow("the disk is full");
  tidy(() => {
    for (const [name, gradient] of objective.model.gradients()) expect(gradient, name).toBeNull();
  });
  expect(readLines(folder).map(withoutTimes)).toEqual(unbroken.lines.slice(0, 4));
});

test.each([0, Number.POSITIVE_INFINITY])(
  "a folder that is deleted while it is trained is named, and does not come back: saving every %d s",
  async (saveEverySeconds) => {
    const folder = newFolder();
    using objective = new TinyObjective((step) => {
      if (step === 3) rmSync(folder, { recursive: true });
    });
    const stopped = train(objective, tinyTraining(folder, { saveEverySeconds, logEvery: 100 }));
    await expect(stopped).rejects.toThrow(CheckpointError);
    await expect(stopped).rejects.toThrow(`${folder} is gone: it was deleted or moved while it was being trained`);
    expect(existsSync(folder)).toBe(false);
  },
);

test("a checkpoint beyond the stage's steps, or of another stage by its number, is not taken for the end", async () => {
  const folder = newFolder();
  using objective = new TinyObjective();
  await train(objective, tinyTraining(folder, { steps: 3 }));
  const shorter = train(objective, tinyTraining(folder, { steps: 2 }));
  await expect(shorter).rejects.toThrow(/is of step 3 of stage 1 \(tuning\), but this is stage 1 with 2 steps/);
  const other = train(objective, tinyTraining(folder, { stageNumber: 0 }));
  await expect(other).rejects.toThrow(/of stage 1 \(tuning\), but this is stage 0/);
});

test("a stage begins anew after another stage's checkpoint, whose lines stay in the log", async () => {
  const folder = newFolder();
  using objective = new TinyObjective();
  await train(objective, tinyTraining(folder, { stage: "pretraining", stageNumber: 0, steps: 3 }));
  await train(objective, tinyTraining(folder, { steps: 2, stepsBefore: 3 }));
  expect(readLines(folder).map(({ stage, step, globalStep }) => `${stage} ${step} ${globalStep}`)).toEqual([
    "pretraining 0 0",
    "pretraining 1 1",
    "pretraining 2 2",
    "tuning 0 3",
    "tuning 1 4",
  ]);
  expect(await latestCheckpoint(folder)).toMatchObject({ stage: "tuning", stageNumber: 1, step: 2 });
});
