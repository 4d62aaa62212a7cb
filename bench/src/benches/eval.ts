import { TextTokenizer } from "asvr";
import type { BenchContext, BenchResult } from "../harness/bench.js";
import { BenchError, byTurns, ours, runSide, theirs } from "../harness/sides.js";
import { type Compared, compare } from "../harness/statistics.js";
import { shown, shownSpread } from "../harness/table.js";
import { withTemporaryFolder } from "../harness/temporary.js";

export interface EvalOptions {
  readonly pictures: number;
  /** Of each picture. */
  readonly questions: number;
  /** Of each answer. */
  readonly tokens: number;
}

export interface EvalRun extends EvalOptions {
  readonly folder: string;
  readonly threads: number;
  readonly pictureSize: number;
}

interface Spent {
  readonly seconds: number;
  /** Of all threads: what a busy machine does not change. */
  readonly cpuSeconds: number;
}

export interface EvalAnswers extends Spent {
  /** By question, those of a picture behind each other. */
  readonly texts: readonly string[];
  /** What the peer is asked. */
  readonly promptIds: readonly (readonly number[])[];
}

/** What one-at-a-time generation gives. */
interface PeerAnswers extends Spent {
  readonly answerIds: readonly (readonly number[])[];
}

/**
 * Answers a set with several questions a picture, as `asvr eval` does, beside Hugging Face transformers with one question
 * at a time. Both give the same answers, of the same length.
 */
export function evaluation(context: BenchContext, options: EvalOptions): Promise<BenchResult> {
  return withTemporaryFolder((folder) => measure(context, options, folder));
}

async function measure(
  { peer, rounds, threads, note }: BenchContext,
  options: EvalOptions,
  folder: string,
): Promise<BenchResult> {
  await runSide(ours("write-random-llava"), { folder, size: "mid", threads });
  const tokenizer = TextTokenizer.fromFolder(folder);
  const run = { ...options, folder, threads, pictureSize: 224 }; // as the tower wants it: neither side resizes
  const count = options.pictures * options.questions;
  let promptIds: EvalAnswers["promptIds"] = [];
  const sides = {
    ours: async () => {
      const outcome = await runSide<EvalAnswers>(ours("eval"), run);
      promptIds = outcome.result.promptIds;
      return outcome;
    },
    peer: () => runSide<PeerAnswers>(theirs(peer, "eval"), { ...run, promptIds }),
  };
  const figures = await byTurns(rounds, sides, (round, { ours: { result: own }, peer: { result: other } }) => {
    const perSecond = [own, other].map(({ seconds }) => shown(count / seconds));
    note(`round ${round + 1} of ${rounds}: ${perSecond[0]} questions/s here, ${perSecond[1]} there`);
    const theirTexts = other.answerIds.map((ids) => tokenizer.decode(ids, { skipSpecialTokens: true }).trim());
    requireSame(own.texts, theirTexts);
  });
  const [time, cpu] = (["seconds", "cpuSeconds"] as const).map((kind) =>
    compare(figures.map(({ ours, peer }) => ({ ours: ours.result[kind], peer: peer.result[kind] }))),
  );
  const perSecond = { ours: count / time!.ours, peer: count / time!.peer };
  const promptTokens = promptIds.reduce((sum, ids) => sum + ids.length, 0) / count;
  const row = (name: string, { ours, peer, ratio, spread }: Compared) => [
    name,
    ...[shown(ours), shown(peer), shown(ratio), shownSpread(spread)],
  ];
  return {
    ratio: time!.ratio,
    parts: {
      ...{ unit: "s", ...options, promptTokens, ...time!, cpu },
      ...{ questionsPerSecond: perSecond, speedup: 1 / time!.ratio },
    },
    table: [
      ["", "ours", "peer", "ratio", "rounds"],
      row(`${count} questions, s`, time!),
      row("CPU time, s", cpu!),
      ["questions/s", shown(perSecond.ours), shown(perSecond.peer), shown(1 / time!.ratio)],
    ],
  };
}

/** Another order of sums may turn an answer where two tokens are equally likely; more than that is another computation. */
const MAY_DIFFER = 0.02;

/** @throws BenchError */
function requireSame(own: readonly string[], other: readonly string[]): void {
  const differing = other.flatMap((text, at) => (text === own[at] ? [] : [at]));
  if (own.length === other.length && differing.length <= MAY_DIFFER * other.length) return;
  const at = differing[0] ?? 0;
  throw new BenchError(
    `${differing.length} of ${other.length} answers differ, the first to question ${at}: ${JSON.stringify(own[at])} here and ` +
      `${JSON.stringify(other[at])} there. The two sides do not compute the same, so their times say nothing.`,
  );
}
