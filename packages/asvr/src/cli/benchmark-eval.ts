import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import type { HubProgress } from "../checkpoints/hub/resolve.js";
import { ConfigError } from "../errors.js";
import { benchmarksNamed } from "../evaluation/benchmarks/all.js";
import type { Answerer } from "../evaluation/benchmarks/answerer.js";
import type { Benchmark, PromptStyle } from "../evaluation/benchmarks/benchmark.js";
import { type LoadedBenchmark, loadBenchmark, missingFrom } from "../evaluation/benchmarks/data/load.js";
import { endpointAnswerer } from "../evaluation/benchmarks/endpoint.js";
import { readRun, runBenchmark, type StoredRun } from "../evaluation/benchmarks/run.js";
import { type BenchmarkScore, scoreAverage, scoreBenchmark } from "../evaluation/benchmarks/score.js";
import type { BenchmarkOptions } from "./benchmark-commands.js";
import { openOptions } from "./opening.js";
import { endpointUrl, interruptSignal, oneOf, printJson, tellWritten } from "./options.js";
import { print } from "./printable.js";
import { type ProgressDisplay, progressDisplay } from "./progress.js";
import { describeScores } from "./score.js";

const styles = ["default", "cambrian", "lmms-eval", "llava"] as const satisfies readonly PromptStyle[];

/** Asks benchmarks and prints their scores; the same call goes on where it was stopped. */
export async function evaluateBenchmarks(run: string | undefined, options: BenchmarkOptions): Promise<void> {
  const { data, limit, split, maxBad, maxAnswer, shard, json } = options;
  if (data === undefined) throw new ConfigError("--benchmarks needs --data: the folder of the data sets, or hub");
  const style = oneOf("--prompts", options.prompts, styles);
  const benchmarks = benchmarksNamed(options.benchmarks!);
  requireStyle(benchmarks, style);
  using asked = await somebodyToAsk(run, options);
  const { answerer } = asked;
  const out = options.out ?? join("runs", "benchmarks", fileName(options.model ?? basename(run ?? "model")));
  const display = progressDisplay();
  const signal = interruptSignal(display);
  const scores: BenchmarkScore[] = [];
  const scored: StoredRun[] = [];
  const written: string[] = [];
  try {
    // All are looked at before the first question is asked: what is missing should be known before the hours are spent.
    const isWholeList = options.benchmarks === "all";
    const loaded: LoadedBenchmark[] = [];
    for (const benchmark of benchmarks) {
      try {
        const place = await placeOf(benchmark, data, { split, isAlone: benchmarks.length === 1, signal, display });
        const one = await loadBenchmark(benchmark, place.folder, { split, limit, maxBad, flat: place.flat });
        const missing = missingFrom(one.coverage);
        display.note(
          `${benchmark.title}: ${one.questions.length} questions in ${one.folder}${missing.length > 0 ? `, PARTIAL: ${missing.join("; ")}` : ""}`,
        );
        loaded.push(one);
      } catch (error) {
        if (!isWholeList || !(error instanceof ConfigError)) throw error;
        display.note(`${benchmark.title}: left out: ${error.message}`);
      }
    }
    if (loaded.length === 0) throw new ConfigError(`none of the benchmarks is in ${data}`);
    for (const one of loaded) {
      const { name, title, data: source } = one.benchmark;
      const folder = join(out, one.split === source.split ? name : `${name}-${one.split}`);
      const started = performance.now();
      display.start(title);
      await runBenchmark(one, answerer, {
        folder,
        style,
        ...(maxAnswer !== undefined && { maxNewTokens: maxAnswer }),
        shard,
        signal,
        batch: 16 * options.concurrency, // a batch ends with its slowest answer
        onProgress: ({ refused, ...progress }) => {
          const phase = refused > 0 ? `asking, ${refused} refused` : "asking";
          display.update(title, { phase, ...progress });
        },
      });
      written.push(`${basename(folder)}/`);
      const stored = await readRun(folder);
      const { predictions, missing } = stored;
      const isScored = predictions.length > 0 && predictions.every(({ gold }) => gold !== null);
      if (isScored) {
        scores.push(scoreBenchmark(predictions, "default", missing));
        scored.push(stored);
      }
      const detail = isScored ? scores.at(-1)!.value.toFixed(1) : "no published answers";
      const refused = predictions.filter((prediction) => prediction.refused !== undefined).length;
      const told = refused > 0 ? `${detail}, ${refused} of ${predictions.length} refused` : detail;
      display.done(title, (performance.now() - started) / 1000, told);
    }
  } finally {
    display.close();
  }
  const average = scoreAverage(scored, "default");
  if (json) printJson({ model: answerer.name, folder: out, scores, average });
  else print(describeScores(scores, average));
  tellWritten(out, written, json);
}

interface PlaceOptions {
  readonly split: string | undefined;
  /** No other benchmark is asked. */
  readonly isAlone: boolean;
  readonly signal: AbortSignal;
  readonly display: ProgressDisplay;
}

/**
 * The folder of a benchmark's data: in a folder of data sets, or fetched from the hub: `hub` for what each benchmark
 * names itself, or a data set's id. A folder that is there goes before an id. @throws ConfigError
 */
async function placeOf(
  benchmark: Benchmark,
  data: string,
  { split, isAlone, signal, display }: PlaceOptions,
): Promise<{ folder: string; flat: boolean }> {
  const isId = data !== "hub" && /^[^/.]+\/[^/]+$/.test(data) && !existsSync(data);
  if (data !== "hub" && !isId) return { folder: data, flat: isAlone };
  if (isId && !isAlone) {
    throw new ConfigError(
      `--data ${data} does not exist, and as a hub id it is one data set: name one benchmark, or give --data hub`,
    );
  }
  const { fetchBenchmark } = await import("../evaluation/benchmarks/data/fetch.js");
  const { title } = benchmark;
  let isFetching = false;
  const onProgress = ({ file, done, total }: HubProgress) => {
    if (!isFetching) display.start(title);
    isFetching = true;
    display.update(title, { phase: `fetching ${file}`, done, total });
  };
  const options = { signal, onProgress, ...(isId && { id: data }), ...(split !== undefined && { split }) };
  return { folder: await fetchBenchmark(benchmark, options), flat: true };
}

interface Asked extends Disposable {
  readonly answerer: Answerer;
}

/** Who answers: a checkpoint, or the model behind an endpoint. @throws ConfigError */
async function somebodyToAsk(run: string | undefined, options: BenchmarkOptions): Promise<Asked> {
  const { endpoint, model, concurrency, timeout } = options;
  if (endpoint === undefined) {
    if (run === undefined)
      throw new ConfigError("nobody to ask: give a checkpoint, or --endpoint URL and --model NAME");
    const { openCheckpoint } = await import("./open-checkpoint.js");
    const { localAnswerer } = await import("../evaluation/benchmarks/local.js");
    const chat = await openCheckpoint(run, options);
    const answerer = localAnswerer(chat, { name: model ?? chat.name, maxRunning: concurrency });
    return { answerer, [Symbol.dispose]: () => chat[Symbol.dispose]() };
  }
  if (run !== undefined) throw new ConfigError("a run and --endpoint are both given; one of them answers");
  if (options.threads !== undefined || Object.keys(openOptions(options)).length > 0) {
    throw new ConfigError(
      "--endpoint leaves to its server how the model is opened: leave out --dtype, --template, --base, --vision-tower, --revision and --threads",
    );
  }
  if (model === undefined) throw new ConfigError("--endpoint needs --model, the model's name there");
  const apiKey = process.env.ASVR_API_KEY;
  const to = {
    url: endpointUrl("--endpoint", endpoint),
    model,
    concurrency,
    timeoutSeconds: timeout,
    ...(apiKey && { apiKey }),
  };
  return { answerer: endpointAnswerer(to), [Symbol.dispose]: () => {} };
}

function requireStyle(benchmarks: readonly Benchmark[], style: PromptStyle): void {
  if (style === "default" || benchmarks.some(({ ask }) => ask[style])) return;
  throw new ConfigError(`--prompts ${style}: none of these benchmarks has other words there than the default ones`);
}

function fileName(model: string): string {
  return model.replaceAll(/[^\w.-]+/g, "_");
}
