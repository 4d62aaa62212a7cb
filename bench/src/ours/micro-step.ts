// Our side of `micro-step`: the real trainer on the real objective, from prepared files.
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { nn, setThreads } from "@asvr/torch";
import { type Objective, type StepCounts, train } from "asvr";
import type { StepTimes } from "../benches/micro-step.js";
import { loadObjective, type MicroRow } from "../micro/files.js";

interface Options {
  folder: string;
  row: MicroRow;
  warmup: number;
  steps: number;
  threads: number;
  matmul: "float32" | "bfloat16";
}

const { folder, row, warmup, steps, threads, matmul } = JSON.parse(process.argv[2]!) as Options;
setThreads(threads);
nn.setMatmulDtype(matmul === "float32" ? undefined : matmul);

/** The objective, with a note of when each step began. */
function timed<Batch, Counts extends StepCounts>(
  objective: Objective<Batch, Counts>,
): { objective: Objective<Batch, Counts>; began: number[] } {
  const began: number[] = [];
  const observed: Objective<Batch, Counts> = {
    modules: objective.modules,
    samplesPerStep: objective.samplesPerStep,
    trainable: () => objective.trainable(),
    batches: (step) => {
      began[step] = performance.now();
      return objective.batches(step);
    },
    counts: (batches) => objective.counts(batches),
    losses: (batch, counts) => objective.losses(batch, counts),
    accumulate: (batch, counts, into) => objective.accumulate(batch, counts, into),
    describe: (batch) => objective.describe(batch),
  };
  return { objective: observed, began };
}

const prepared = await loadObjective(folder, row);
const { learningRate, warmupRatio, betas, weightDecay, maxGradNorm } = prepared.recipe.stages.tuning;
const { objective, began } = timed(prepared.objective);
const losses: number[] = [];
const out = await mkdtemp(join(folder, "ours-"));
await train(objective, {
  folder: out,
  stage: "tuning",
  stageNumber: 0,
  steps: warmup + steps,
  learningRate,
  warmupRatio,
  betas,
  weightDecay,
  maxGradNorm,
  seed: 0,
  logEvery: 1, // so that the losses can be held against the peer's
  saveEverySeconds: Number.POSITIVE_INFINITY,
  onProgress: ({ loss, step }) => {
    losses.push(loss);
    if (step === warmup + steps) began.push(performance.now());
  },
});
await rm(out, { recursive: true });
const seconds = (began[warmup + steps]! - began[warmup]!) / 1000;
process.stdout.write(`${JSON.stringify({ secondsPerStep: seconds / steps, losses } satisfies StepTimes)}\n`);
