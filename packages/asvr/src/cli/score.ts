import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ConfigError } from "../errors.js";
import { benchmarks } from "../evaluation/benchmarks/all.js";
import { type ExportFormat, exportPredictions } from "../evaluation/benchmarks/export.js";
import { readPredictions } from "../evaluation/benchmarks/predictions.js";
import { type Average, clustersOf, type OverSeeds, overSeeds, Resampled } from "../evaluation/benchmarks/resampling.js";
import { readRun, type StoredRun } from "../evaluation/benchmarks/run.js";
import {
  type BenchmarkScore,
  benchmarkOf,
  deviationsOf,
  finalParts,
  scoreAgainst,
  scoreAverage,
} from "../evaluation/benchmarks/score.js";
import { groupBy } from "../evaluation/record-scores.js";
import { type JudgedRun, type JudgeOptions, judgedRuns, judgeOf, type PlacedRun } from "./judge.js";
import { oneOf, printJson } from "./options.js";
import { print } from "./printable.js";

export interface ScoreOptions extends JudgeOptions {
  baseline?: string;
  export?: string;
  out?: string;
  json: boolean;
}

const formats = ["lmms-eval", "vlmevalkit", "submission"] as const satisfies readonly ExportFormat[];

/** Scores stored answers; of several runs (seeds of one recipe) each, and their mean and spread. */
export async function score(runs: readonly string[], options: ScoreOptions): Promise<void> {
  const { protocol, baseline, json } = options;
  const judge = judgeOf(options);
  const answers = await Promise.all(runs.map(storedRuns));
  if (options.export !== undefined) return exportRuns(answers.flat(), options, runs[0]!);
  const baselineAnswers = baseline === undefined ? [] : await storedRuns(baseline);
  const [baselines = [], ...stored] = await judgedRuns([baselineAnswers, ...answers], judge);
  const scores = stored.map((one) =>
    scoreAgainst(
      one,
      baselines.map(({ predictions }) => predictions),
      protocol,
    ),
  );
  const averages = stored.map((one) => scoreAverage(one, protocol));
  const seeds = runs.length > 1 ? seedSummaries(stored, protocol) : undefined;
  if (json) {
    printJson({
      runs: runs.map((run, at) => ({ run, scores: scores[at], average: averages[at] })),
      ...(baseline !== undefined && { baseline }),
      ...(seeds && { seeds }),
    });
    return;
  }
  for (const [at, run] of runs.entries()) {
    if (runs.length > 1) print(`${run}\n`);
    print(describeScores(scores[at]!, averages[at]));
  }
  if (seeds) print(describeSeeds(seeds, runs.length));
}

/** Every benchmark of a folder; or the one of a benchmark's folder or of a file. @throws ConfigError */
async function storedRuns(path: string): Promise<PlacedRun[]> {
  if (!existsSync(path)) throw new ConfigError(`${path} does not exist`);
  if (statSync(path).isFile()) {
    const byBenchmark = groupBy(await readPredictions(path), ({ benchmark }) => benchmark);
    return [...byBenchmark.values()].map((predictions) => ({ predictions, folder: dirname(path) }));
  }
  const names = readdirSync(path);
  if (names.some((name) => /^predictions.*\.jsonl$/.test(name))) return [await placedRun(path)];
  const folders = benchmarks.map(({ name }) => join(path, name)).filter(existsSync);
  if (folders.length === 0) throw new ConfigError(`${path} has neither predictions.jsonl nor a folder of a benchmark`);
  return Promise.all(folders.map(placedRun));
}

async function placedRun(folder: string): Promise<PlacedRun> {
  return { ...(await readRun(folder)), folder };
}

async function exportRuns(
  stored: readonly StoredRun[],
  { export: format, out }: ScoreOptions,
  run: string,
): Promise<void> {
  if (out === undefined) throw new ConfigError("--export needs --out, the folder to write");
  const chosen = oneOf("--export", format!, formats);
  const isBenchmark = benchmarks.some(({ name }) => name === basename(run));
  const model = basename(isBenchmark ? dirname(run) : run).replace(/\.jsonl$/, "");
  for (const { predictions, missing = [] } of stored) {
    const file = await exportPredictions(predictions, chosen, out, model);
    const partial = missing.length > 0 ? `  (PARTIAL: ${missing.join("; ")})` : "";
    const deviations = deviationsOf(benchmarkOf(predictions), predictions);
    const deviating = deviations.length > 0 ? `  (DEVIATING: ${deviations.join("; ")})` : "";
    print(`${file}  ${predictions.length} answers${partial}${deviating}\n`);
  }
}

/** Benchmark -> mean and spread over runs. @throws RangeError when the runs did not answer the same questions */
function seedSummaries(stored: readonly JudgedRun[][], protocol: string): Record<string, OverSeeds> {
  const byBenchmark = groupBy(stored.flat(), ({ predictions }) => benchmarkOf(predictions).name);
  return Object.fromEntries(
    [...byBenchmark]
      .filter(([, runs]) => runs.length === stored.length)
      .map(([name, runs]) => {
        const parts = runs.map(({ predictions }) => finalParts(predictions, protocol));
        const clusters = clustersOf(parts.flat());
        return [name, overSeeds(parts.map((one) => new Resampled(one, clusters)))];
      }),
  );
}

/** A table: the final number with its interval, the paper's beside it, and what is to be known about it. */
export function describeScores(scores: readonly BenchmarkScore[], average?: Average): string {
  if (scores.length === 0) return "";
  const lines = [`${"".padEnd(16)}${"score".padStart(6)}   95% interval    paper: llava, asvr\n`];
  for (const score of scores) {
    const { title, value, interval, printed, against } = score;
    lines.push(
      `${title.padEnd(16)}${number(value)}${isStarred(score) ? "*" : " "}  ${range(interval)}  ` +
        `${number(printed.llava)}${number(printed.asvr)}${beside(score)}\n`,
    );
    if (against) {
      const { value: difference, interval: reach, baseline, correctedP } = against;
      lines.push(
        `${"  baseline".padEnd(16)}${number(baseline)}   difference ${signed(difference)} (${reach.map((bound) => bound.toFixed(1)).join(" to ")}), ` +
          `p ${correctedP.toPrecision(2)}${scores.length > 1 ? " after Holm's correction" : ""}\n`,
      );
    }
  }
  if (average) {
    const mark = scores.some(isStarred) ? "*" : " ";
    lines.push(`${"AVG".padEnd(16)}${number(average.value)}${mark}  ${range(average.interval)}\n`);
  }
  for (const { title, partial, deviations, refused } of scores) {
    if (partial.length > 0) lines.push(`* ${title} is partial: ${partial.join("; ")}\n`);
    if (deviations.length > 0) lines.push(`* ${title} deviates: ${deviations.join("; ")}\n`);
    if (refused.length > 0) lines.push(describeRefusals(title, refused));
  }
  return lines.join("");
}

/** A number that is not what the benchmark's name says. */
const isStarred = ({ partial, deviations }: BenchmarkScore) => partial.length > 0 || deviations.length > 0;

const LISTED = 5;

function describeRefusals(title: string, refused: BenchmarkScore["refused"]): string {
  const more = refused.length > LISTED ? ` and ${refused.length - LISTED} more (--json lists them)` : "";
  const ids = refused.slice(0, LISTED).map(({ id }) => id);
  return `! ${title}: ${refused.length} questions were refused, and are wrong: ${ids.join(", ")}${more}; ${ids[0]}: ${refused[0]!.why}\n`;
}

/** What the protocol prints beside the final number, and what limits it. */
function beside({ protocol, values, unreadable, refused, questions, attainable }: BenchmarkScore): string {
  const named = Object.entries(values).filter(([name]) => mainValues.has(name));
  const notes = [
    ...(protocol === "default" ? [] : [`by ${protocol}`]),
    ...named.map(([name, value]) => `${name} ${value.toFixed(1)}`),
    ...(unreadable > 0
      ? [`${unreadable} of ${questions} unreadable${refused.length > 0 ? `, ${refused.length} of them refused` : ""}`]
      : []),
    ...(attainable < 100 - 1e-9 ? [`at most ${attainable.toFixed(1)} can be attained by this rule`] : []),
  ];
  return notes.length > 0 ? `   ${notes.join(", ")}` : "";
}

const mainValues = new Set([
  "plain",
  "sum",
  "perception",
  "cognition",
  "individual",
  "aAcc",
  "fAcc",
  "qAcc",
  "f1",
  "mean f1",
]);

function describeSeeds(seeds: Readonly<Record<string, OverSeeds>>, count: number): string {
  const lines = Object.entries(seeds).map(
    ([name, { mean: center, spread, interval }]) =>
      `${name.padEnd(16)}${number(center)}   spread ${spread.toFixed(2)}   95% interval ${range(interval).trim()}\n`,
  );
  return `mean of ${count} runs (interval over seeds and questions)\n${lines.join("")}`;
}

const number = (value: number) => value.toFixed(1).padStart(6);
const signed = (value: number) => `${value < 0 ? "-" : "+"}${Math.abs(value).toFixed(1)}`;
const range = ([low, high]: readonly [number, number]) =>
  `${low.toFixed(1).padStart(5)} to ${high.toFixed(1).padStart(5)}`;
