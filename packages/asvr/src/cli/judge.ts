import { join } from "node:path";
import { ConfigError } from "../errors.js";
import type { Answerer } from "../evaluation/benchmarks/answerer.js";
import { endpointAnswerer } from "../evaluation/benchmarks/endpoint.js";
import { type JudgedPrediction, judgePredictions } from "../evaluation/benchmarks/judge.js";
import type { StoredRun } from "../evaluation/benchmarks/run.js";
import { benchmarkOf } from "../evaluation/benchmarks/score.js";
import { endpointUrl, interruptSignal } from "./options.js";
import { progressDisplay } from "./progress.js";

// `asvr score --judge`: somebody else has a part in scoring.

export interface JudgeOptions {
  protocol: string;
  judge?: string;
  judgeModel?: string;
}

/** A run, and where its verdicts belong. */
export interface PlacedRun extends StoredRun {
  readonly folder: string;
}

export interface JudgedRun extends PlacedRun {
  predictions: JudgedPrediction[];
}

interface Judge {
  readonly name: string;
  readonly answerer: Answerer;
}

/** @throws ConfigError */
export function judgeOf({ judge, judgeModel, protocol }: JudgeOptions): Judge | undefined {
  if (judge === undefined) {
    if (judgeModel !== undefined) throw new ConfigError("--judge-model belongs to --judge, the endpoint's URL");
    return undefined;
  }
  if (judgeModel === undefined) throw new ConfigError("--judge needs --judge-model, the model's name there");
  if (protocol !== "default") throw new ConfigError("--judge brings protocols of its own: leave --protocol out");
  const apiKey = process.env.ASVR_JUDGE_KEY;
  const answerer = endpointAnswerer({
    url: endpointUrl("--judge", judge),
    model: judgeModel,
    ...(apiKey && { apiKey }),
  });
  return { name: judgeModel, answerer };
}

/** Runs with verdicts, where there is a judge and their benchmark has a part for it: the others are as they were. */
export async function judgedRuns(groups: readonly PlacedRun[][], judge: Judge | undefined): Promise<JudgedRun[][]> {
  if (!judge) return [...groups];
  const { name, answerer } = judge;
  const display = progressDisplay();
  const signal = interruptSignal(display);
  const judged: JudgedRun[][] = [];
  try {
    for (const group of groups) {
      judged.push([]);
      for (const run of group) {
        const { title, judged: protocol } = benchmarkOf(run.predictions);
        if (!protocol) {
          judged.at(-1)!.push(run);
          continue;
        }
        const started = performance.now();
        display.start(title);
        const onProgress = (progress: { done: number; total: number }) =>
          display.update(title, { phase: "judging", ...progress });
        const options = { file: join(run.folder, "judge.jsonl"), name, signal, onProgress };
        const predictions = await judgePredictions(run.predictions, protocol, answerer, options);
        judged.at(-1)!.push({ ...run, predictions });
        display.done(title, (performance.now() - started) / 1000);
      }
    }
  } finally {
    display.close();
  }
  return judged;
}
