// Our side of `startup`: from nothing to the end of the first training step.
import { join } from "node:path";
import { setThreads } from "@asvr/torch";
import { train } from "asvr";
import type { FirstStep } from "../benches/startup.js";
import { loadObjective, type MicroRow } from "../micro/files.js";

const loaded = performance.now(); // milliseconds since the process began
const { folder, row, threads } = JSON.parse(process.argv[2]!) as { folder: string; row: MicroRow; threads: number };
setThreads(threads);

const { objective, recipe } = await loadObjective(folder, row);
const prepared = performance.now();
const { learningRate, betas, weightDecay, maxGradNorm } = recipe.stages.tuning;
await train(objective, {
  folder: join(folder, `startup-${process.pid}`),
  stage: "tuning",
  stageNumber: 0,
  steps: 2,
  learningRate,
  warmupRatio: 0,
  betas,
  weightDecay,
  maxGradNorm,
  seed: 0,
  logEvery: 1,
  saveEverySeconds: Number.POSITIVE_INFINITY,
  onProgress: ({ loss }) => {
    const seconds = {
      "load libraries": loaded / 1000,
      "read files": (prepared - loaded) / 1000,
      "optimizer and step": (performance.now() - prepared) / 1000,
    };
    process.stdout.write(`${JSON.stringify({ loss, seconds } satisfies FirstStep)}\n`, () => process.exit());
  },
});
