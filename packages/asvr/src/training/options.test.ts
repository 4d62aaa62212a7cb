import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { F, memory, setThreads, tidy } from "@asvr/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { TinyObjective, tinyTraining } from "./fixture.js";
import type { LoggedMetrics } from "./metric-totals.js";
import { type Progress, type TrainOptions, train } from "./trainer.js";
import { heldOutLosses } from "./validation.js";

setThreads(1); // equal to the bit only where the number of threads is; and test files run side by side

const before = memory().tensors;
const root = mkdtempSync(join(tmpdir(), "asvr-options-"));
afterAll(() => {
  rmSync(root, { recursive: true });
  expect(memory().tensors).toBe(before);
});

type Weights = Record<string, number[]>;

function weightsOf({ model }: TinyObjective): Weights {
  return tidy(() => Object.fromEntries(Array.from(model.stateDict(), ([name, weight]) => [name, weight.toNumbers()])));
}

let runs = 0;

/** Weights and log of a training; `evaluate` is given the objective. */
async function trained(
  changes: Partial<TrainOptions>,
  evaluate?: (objective: TinyObjective, step: number) => LoggedMetrics,
): Promise<{ weights: Weights; lines: Record<string, unknown>[] }> {
  const folder = join(root, `run-${runs++}`);
  using objective = new TinyObjective();
  const validation = evaluate && { every: 4, run: (step: number) => evaluate(objective, step) };
  await train(objective, tinyTraining(folder, { ...(validation && { evaluate: validation }), ...changes }));
  const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8").split("\n").filter(Boolean);
  return { weights: weightsOf(objective), lines: lines.map((line) => JSON.parse(line)) };
}

let usual: Awaited<ReturnType<typeof trained>>;
beforeAll(async () => {
  usual = await trained({});
});

test("a schedule of one's own gives every step its learning rate", async () => {
  const { lines, weights } = await trained({ schedule: (step) => 1e-3 / (1 + step) });
  expect(lines.map(({ learningRate }) => learningRate)).toEqual(lines.map((_, step) => 1e-3 / (1 + step)));
  expect(weights).not.toEqual(usual.weights);
});

test("a part has its own learning rate and weight decay; the rest keeps the stage's", async () => {
  const still = await trained({ groups: { projector: { learningRate: 0 } } });
  using untrained = new TinyObjective();
  const begun = weightsOf(untrained);
  for (const [name, values] of Object.entries(still.weights)) {
    if (name.startsWith("projector.")) expect(values, name).toEqual(begun[name]);
    else expect(values, name).not.toEqual(begun[name]);
  }
  const same = await trained({ groups: { projector: { learningRate: 3e-3 }, language: { weightDecay: 0.01 } } });
  expect(same.weights).toEqual(usual.weights);
  const decayed = await trained({ steps: 2, groups: { language: { weightDecay: 0.5 } } });
  const usually = await trained({ steps: 2 });
  for (const [name, values] of Object.entries(decayed.weights)) {
    if (name.startsWith("language.")) expect(values, name).not.toEqual(usually.weights[name]);
    else expect(values, name).toEqual(usually.weights[name]);
  }
});

test("settings of a part that is not trained are refused, with what is", async () => {
  const refused = trained({ groups: { encoder: { learningRate: 1 } } });
  await expect(refused).rejects.toThrow(ConfigError);
  await expect(refused).rejects.toThrow(
    /^groups: encoder is not trained here; what is: projector, visualHead, language$/,
  );
});

test("validation is logged with its step and told, and changes nothing of the training", async () => {
  const told: [number, LoggedMetrics | undefined][] = [];
  const onProgress = ({ step, validation }: Progress) => void told.push([step, validation]);
  const { lines, weights } = await trained({ logEvery: 3, onProgress }, (objective, step) => {
    F.rand([step]).dispose(); // as a measurement may draw
    const found = heldOutLosses(objective, objective.batches(100));
    return { ...found, step };
  });
  expect(weights).toEqual(usual.weights);
  const measured = lines.filter(({ validation }) => validation);
  expect(measured.map(({ step }) => step)).toEqual([3, 7, 11, 13]);
  expect(lines.map(({ step }) => step)).toEqual([0, 3, 6, 7, 9, 11, 12, 13]);
  for (const { step, validation } of measured) {
    expect(validation).toMatchObject({ step: (step as number) + 1, textLoss: expect.any(Number) });
    expect((validation as { codeAccuracy: number[] }).codeAccuracy).toHaveLength(3);
  }
  const timeless = (line: Record<string, unknown>) => [line.step, line.loss, line.learningRate, line.gradNorm];
  expect(lines.map(timeless)).toEqual(lines.map(({ step }) => timeless(usual.lines[step as number]!)));
  expect(told.filter(([, validation]) => validation)).toEqual(
    measured.map(({ step, validation }) => [(step as number) + 1, validation]),
  );
});

test("held-out losses of many batches are those of one step: divided by the counts of all, without gradients", () => {
  using objective = new TinyObjective();
  tidy(() => {
    const batches = [...objective.batches(0), ...objective.batches(1)];
    const counts = objective.counts(batches);
    const textLosses = batches.map((batch) => objective.losses(batch, counts).metrics.textLoss.item());
    const found = heldOutLosses(objective, batches);
    expect(found.textLoss).toBeCloseTo(
      textLosses.reduce((sum, loss) => sum + loss),
      5,
    );
    for (const [name, gradient] of objective.model.gradients()) expect(gradient, name).toBeNull();
  });
});
