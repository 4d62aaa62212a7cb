import { Command, InvalidArgumentError } from "commander";
import type { EvalOptions } from "./eval.js";
import { positive } from "./options.js";
import type { ScoreOptions } from "./score.js";

// What the fourteen benchmarks add to the command line; what it does is in benchmark-eval.ts and score.ts.

/** What `asvr eval` takes besides, when it asks benchmarks. */
export interface BenchmarkOptions extends EvalOptions {
  benchmarks?: string;
  limit?: number;
  split?: string;
  prompts: string;
  maxAnswer?: number;
  endpoint?: string;
  model?: string;
  timeout: number;
  shard?: { index: number; count: number };
}

/** Adds the options of benchmarks to `asvr eval`. */
export function withBenchmarkOptions(command: Command): Command {
  return command
    .option(
      "--benchmarks <names>",
      "ask the paper's benchmarks: all, or names with commas; --data is their folder, or hub",
    )
    .option(
      "--limit <count>",
      "of each benchmark only the first questions; what hangs together is kept whole",
      positive,
    )
    .option("--split <name>", "another split than the scored one: test of docvqa and mmbench, for a submission")
    .option("--prompts <style>", "whose words: default (the paper's), cambrian, lmms-eval or llava", "default")
    .option("--max-answer <tokens>", "instead of each benchmark's own number: a deviation, which scores say", positive)
    .option("--endpoint <url>", "ask the model behind an OpenAI-compatible endpoint; its key: ASVR_API_KEY")
    .option("--model <name>", "the model's name at the endpoint")
    .option("--concurrency <count>", "questions that are answered side by side", positive, 8)
    .option("--timeout <seconds>", "of one request to the endpoint", positive, 120)
    .option("--shard <i/n>", "only part i of n, counted from 0: for several processes with one --out", shard)
    .option(
      "--out <folder>",
      "where answers go (default: of benchmarks runs/benchmarks/MODEL; of --data evaluation/NAME in a run, else runs/evaluation/MODEL/NAME)",
    );
}

function shard(text: string): { index: number; count: number } {
  const [, index, count] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (count === undefined || Number(index) >= Number(count)) {
    throw new InvalidArgumentError("it must be i/n with i from 0 to n-1, as 0/4.");
  }
  return { index: Number(index), count: Number(count) };
}

export function scoreCommand(): Command {
  return new Command("score")
    .description("score stored answers to benchmarks again, without a model; compare, or export them")
    .argument(
      "<run...>",
      "folder of `asvr eval --benchmarks`, of one benchmark in it, or a predictions.jsonl; several: seeds",
    )
    .option("--protocol <name>", "whose rules: default, cambrian, lmms-eval, vlmevalkit, llava, …", "default")
    .option(
      "--judge <url>",
      "OpenAI-compatible endpoint of a judge, where a benchmark has a judged variant; its key: ASVR_JUDGE_KEY",
    )
    .option("--judge-model <name>", "the judge's name at the endpoint; it becomes a part of the protocol's name")
    .option("--baseline <run>", "answers of another model to the same questions")
    .option("--export <format>", "write the answers as lmms-eval, vlmevalkit or submission have them")
    .option("--out <folder>", "folder of the export")
    .option("--json", "print the scores as one JSON object", false)
    .addHelpText(
      "after",
      `
Examples:
  asvr score runs/benchmarks/model
  asvr score runs/benchmarks/model/pope --protocol llava --baseline runs/benchmarks/other/pope
  asvr score runs/benchmarks/model/hallusionbench --judge http://localhost:8000/v1 --judge-model judge
  asvr score runs/benchmarks/model/docvqa --export submission --out submission`,
    )
    .action(async (runs: string[], options: ScoreOptions) => (await import("./score.js")).score(runs, options));
}
