/** Predictions -> final numbers, by any protocol and without a model. */
import { ConfigError, DataError } from "../../errors.js";
import { groupBy } from "../record-scores.js";
import { type Part, totalOf } from "../scoring/shares.js";
import type { Interval } from "../statistics.js";
import { benchmarkNamed, benchmarks } from "./all.js";
import { type Answered, type Benchmark, type JudgedProtocol, type Protocol, partsOf, tokenLimit } from "./benchmark.js";
import type { JudgedPrediction } from "./judge.js";
import type { BenchmarkPrediction } from "./predictions.js";
import {
  type Average,
  averageOf,
  clustersOf,
  compare,
  type Difference,
  holm,
  mcNemar,
  Resampled,
} from "./resampling.js";

export interface BenchmarkScore {
  benchmark: string;
  title: string;
  protocol: string;
  /** The final number, 0 to 100. */
  value: number;
  /** 95%, bootstrap over what hangs together. */
  interval: Interval;
  questions: number;
  /** What the model did not take, and why: counted among the unreadable. */
  refused: { id: string; why: string }[];
  /** Answers from which nothing could be read, and empty ones: wrong, and counted. */
  unreadable: number;
  empty: number;
  /** What an answerer that says the gold would get: below 100 where the rule cannot read some golds. */
  attainable: number;
  /** What belongs beside the final number. */
  values: Record<string, number>;
  /** Breakdown -> category -> final number of its questions. */
  categories: Record<string, Record<string, number>>;
  /** Why these are not all questions; empty when they are. */
  partial: string[];
  /** How the questions were asked otherwise than the benchmark says; empty when they were not. */
  deviations: string[];
  /** The paper's Table 1. */
  printed: { llava: number; asvr: number };
  against?: Comparison;
}

export interface Comparison extends Difference {
  /** The baseline's final number on the same questions. */
  baseline: number;
  /** `p`, corrected by Holm for all benchmarks that are compared together. */
  correctedP: number;
  /** Questions that only one of the two has right, and McNemar's p; absent where points are not all or nothing. */
  mcNemar?: { onlyModel: number; onlyBaseline: number; p: number };
}

/** @throws ConfigError that lists the protocols there are */
export function protocolOf(benchmark: Benchmark, name: string): Protocol<object> {
  const { [name]: protocol } = benchmark.protocols;
  if (protocol) return protocol;
  const names = Object.keys(benchmark.protocols).join(", ");
  throw new ConfigError(`${benchmark.name} has no protocol ${JSON.stringify(name)}; it has ${names}`);
}

/** What scores these predictions: where they were judged, what their benchmark has for that, under the judge's name. */
function ruleOf(
  predictions: readonly JudgedPrediction[],
  protocolName: string,
): { benchmark: Benchmark; protocol: Protocol<object> | JudgedProtocol<object>; name: string } {
  const benchmark = benchmarkOf(predictions);
  const judge = predictions[0]!.judged?.judge;
  if (judge === undefined || !benchmark.judged) {
    return { benchmark, protocol: protocolOf(benchmark, protocolName), name: protocolName };
  }
  return { benchmark, protocol: benchmark.judged, name: `${benchmark.judged.name}(${judge})` };
}

/** Predictions as a protocol sees them. @throws DataError where a question has no published answer */
export function answered(
  benchmark: Benchmark,
  protocol: Protocol<object> | JudgedProtocol<object>,
  predictions: readonly JudgedPrediction[],
): Answered<object>[] {
  return predictions.map((prediction) => {
    const { id, question, picture, group, answer, gold } = prediction;
    if (gold === null) {
      throw new DataError(
        `${benchmark.title}: question ${id} has no published answer, so nothing can be scored. ` +
          "Export it for the test server: --export submission.",
      );
    }
    return { id, question, picture, cluster: group, answer, ...gradeOf(protocol, prediction) };
  });
}

/** By the judge's verdict, where there is one. */
function gradeOf(protocol: Protocol<object> | JudgedProtocol<object>, prediction: JudgedPrediction) {
  const verdict = prediction.judged?.verdict;
  if (verdict === undefined || !("worth" in protocol)) return grade(protocol, prediction);
  if (verdict === null) return { read: undefined, score: 0 };
  return { read: verdict, score: protocol.worth(verdict, prediction.question) };
}

/**
 * What an answer is taken for and what it is worth; an unreadable one is worth nothing. A refusal is unreadable, whatever
 * the protocol takes an empty answer for.
 */
export function grade(
  protocol: Protocol<object>,
  { answer, refused, question }: { answer: string; refused?: string | undefined; question: object },
): { read: string | undefined; score: number } {
  const read = refused === undefined ? protocol.read(answer, question) : undefined;
  return { read, score: read === undefined ? 0 : protocol.score(read, question, answer) };
}

/** @param missing what the run's own account says is missing; from the number of questions if not given */
export function scoreBenchmark(
  predictions: readonly JudgedPrediction[],
  protocolName: string,
  missing?: readonly string[],
): BenchmarkScore {
  const { benchmark, protocol, name } = ruleOf(predictions, protocolName);
  const items = answered(benchmark, protocol, predictions);
  const parts = partsOf(protocol, items);
  const oracle = items.map((item) => {
    const gold = benchmark.gold(item.question)!;
    return { ...item, answer: gold, ...grade(protocol, { answer: gold, question: item.question }) };
  });
  return {
    benchmark: benchmark.name,
    title: benchmark.title,
    protocol: name,
    value: totalOf(parts),
    interval: new Resampled(parts, clustersOf(parts)).interval(),
    questions: items.length,
    refused: predictions.flatMap(({ id, refused }) => (refused === undefined ? [] : [{ id, why: refused }])),
    unreadable: items.filter(({ read }) => read === undefined).length,
    empty: predictions.filter(({ answer, refused }) => answer.trim() === "" && refused === undefined).length,
    attainable: totalOf(partsOf(protocol, oracle)),
    values: protocol.values?.(items) ?? {},
    categories: Object.fromEntries(
      Object.entries(benchmark.categories ?? {}).map(([name, categoryOf]) => [
        name,
        byCategory(protocol, items, categoryOf),
      ]),
    ),
    partial: [...(missing ?? countedMissing(benchmark, items.length))],
    deviations: deviationsOf(benchmark, predictions),
    printed: benchmark.printed,
  };
}

/** How predictions were asked for otherwise than their benchmark says, in words. */
export function deviationsOf(benchmark: Benchmark, predictions: readonly BenchmarkPrediction[]): string[] {
  const limits = new Set(
    predictions.flatMap(({ maxNewTokens, style }) =>
      maxNewTokens === undefined ? [] : `${maxNewTokens} tokens instead of ${tokenLimit(benchmark, style)}`,
    ),
  );
  const styles = new Set(predictions.map(({ style }) => style).filter((style) => benchmark.ask[style] !== undefined));
  styles.delete("default");
  return [
    ...[...limits].map((limit) => `answers of at most ${limit}`),
    ...[...styles].map((style) => `asked in the words of ${style}`),
  ];
}

/**
 * Scores with a baseline's answers to the same questions beside them.
 * @throws DataError when the two did not answer the same questions
 */
export function scoreAgainst(
  runs: readonly { predictions: readonly JudgedPrediction[]; missing?: readonly string[] }[],
  baselines: readonly (readonly JudgedPrediction[])[],
  protocolName: string,
): BenchmarkScore[] {
  const byName = new Map(baselines.map((predictions) => [benchmarkOf(predictions).name, predictions]));
  const scores = runs.map(({ predictions, missing }) => {
    const score = scoreBenchmark(predictions, protocolName, missing);
    const baseline = byName.get(score.benchmark);
    return { score, compared: baseline && compareRuns(predictions, baseline, protocolName) };
  });
  const compared = scores.flatMap(({ compared }) => (compared ? [compared] : []));
  const corrected = holm(compared.map(({ p }) => p));
  for (const [at, one] of compared.entries()) one.correctedP = corrected[at]!;
  return scores.map(({ score, compared }) => (compared ? { ...score, against: compared } : score));
}

function compareRuns(
  predictions: readonly JudgedPrediction[],
  baseline: readonly JudgedPrediction[],
  protocolName: string,
): Comparison {
  const { benchmark, protocol } = ruleOf(predictions, protocolName);
  const places = new Map(baseline.map((one) => [one.id, one]));
  const missing = predictions.filter(({ id }) => !places.has(id)).length;
  if (missing > 0 || baseline.length !== predictions.length) {
    throw new DataError(
      `${benchmark.title}: the baseline answered ${baseline.length} questions, not the same ${predictions.length} ` +
        `(${missing} are not among them). Compare runs over the same data with the same --limit.`,
    );
  }
  const items = answered(benchmark, protocol, predictions);
  const others = answered(
    benchmark,
    protocol,
    predictions.map(({ id }) => places.get(id)!),
  ).map((other, at) => ({ ...other, cluster: items[at]!.cluster }));
  const [parts, otherParts] = [partsOf(protocol, items), partsOf(protocol, others)];
  const clusters = clustersOf([...parts, ...otherParts]);
  const model = new Resampled(parts, clusters);
  const reference = new Resampled(otherParts, clusters);
  const difference = compare(model, reference);
  const isAllOrNothing = [...items, ...others].every(({ score }) => score === 0 || score === 1);
  const only = (mine: readonly Answered<object>[], theirs: readonly Answered<object>[]) =>
    mine.filter(({ score }, at) => score > theirs[at]!.score).length;
  const [onlyModel, onlyBaseline] = [only(items, others), only(others, items)];
  return {
    ...difference,
    baseline: reference.value(),
    correctedP: difference.p,
    ...(isAllOrNothing && { mcNemar: { onlyModel, onlyBaseline, p: mcNemar(onlyModel, onlyBaseline) } }),
  };
}

/** The paper's AVG; undefined unless all fourteen benchmarks were answered. */
export function scoreAverage(
  runs: readonly { predictions: readonly JudgedPrediction[] }[],
  protocolName: string,
): Average | undefined {
  const names = new Set(runs.map(({ predictions }) => benchmarkOf(predictions).name));
  if (names.size < benchmarks.length) return undefined;
  return averageOf(
    runs.map(({ predictions }) => {
      const parts = finalParts(predictions, protocolName);
      return new Resampled(parts, clustersOf(parts));
    }),
  );
}

/** The parts of a run's final number: for the spread over seeds. */
export function finalParts(predictions: readonly JudgedPrediction[], protocolName: string): Part[] {
  const { benchmark, protocol } = ruleOf(predictions, protocolName);
  return partsOf(protocol, answered(benchmark, protocol, predictions));
}

function byCategory(
  protocol: Protocol<object>,
  items: readonly Answered<object>[],
  categoryOf: (question: object) => string,
): Record<string, number> {
  const groups = [...groupBy(items, ({ question }) => categoryOf(question))].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(groups.map(([name, group]) => [name, totalOf(partsOf(protocol, group))]));
}

/** @throws DataError for none, or for those of several benchmarks */
export function benchmarkOf(predictions: readonly BenchmarkPrediction[]): Benchmark {
  const names = new Set(predictions.map(({ benchmark }) => benchmark));
  if (names.size !== 1) {
    throw new DataError(
      `predictions of one benchmark are scored together; these are of ${[...names].join(", ") || "none"}`,
    );
  }
  return benchmarkNamed([...names][0]!);
}

function countedMissing({ data }: Benchmark, questions: number): string[] {
  if (data.otherRows?.includes(questions)) return [];
  const isOff = data.about ? Math.abs(questions - data.rows) > data.rows / 10 : questions !== data.rows;
  return isOff ? [`${questions} questions instead of ${data.about ? "about " : ""}${data.rows}`] : [];
}
