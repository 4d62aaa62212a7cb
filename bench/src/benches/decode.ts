import { existsSync } from "node:fs";
import { join } from "node:path";
import type { BenchContext, BenchResult } from "../harness/bench.js";
import { byTurns, ours, requireEqual, runSide, theirs } from "../harness/sides.js";
import { compare } from "../harness/statistics.js";
import { shown, shownSpread } from "../harness/table.js";
import { withTemporaryFolder } from "../harness/temporary.js";

/** What is written by `write-random-llava`. */
export interface RandomLlava {
  readonly folder: string;
  readonly size: "tiny" | "small" | "mid" | "1b" | "7b";
}

export interface DecodeRun extends RandomLlava {
  readonly threads: number;
  readonly tokens: number;
  readonly pictureSize: number;
  readonly prompt: string;
}

export interface Decoded {
  readonly promptIds: readonly number[];
  /** `first token`: picture and question read; `token`: each after it. */
  readonly seconds: Readonly<Record<"open" | "first token" | "token", number>>;
  readonly firstLogProb: number;
  readonly peakBytes: number;
  /** Read for one token: weights, keys and values. Ours alone tells it, and how fast this machine reads. */
  readonly bytesPerToken: number;
  readonly readBytesPerSecond: number;
}

export interface DecodeOptions {
  readonly size: RandomLlava["size"];
  readonly tokens: number;
  /** Where the checkpoint is kept, or made; default: a temporary folder. */
  readonly checkpoint?: string;
}

/** Tokens a second of a LLaVA of random bfloat16 weights, one request at a time, beside Hugging Face transformers. */
export function decode(context: BenchContext, options: DecodeOptions): Promise<BenchResult> {
  if (options.checkpoint !== undefined) return measure(context, options, options.checkpoint);
  return withTemporaryFolder((folder) => measure(context, options, folder));
}

async function measure(
  { peer, rounds, threads, note }: BenchContext,
  { size, tokens }: DecodeOptions,
  folder: string,
): Promise<BenchResult> {
  if (!existsSync(join(folder, "model.safetensors.index.json"))) {
    note(`writing a checkpoint of the size ${size}`);
    await runSide(ours("write-random-llava"), { folder, size, threads });
  }
  const pictureSize = size === "tiny" || size === "small" ? 56 : 384; // as the tower wants it: neither side resizes
  const run = { folder, size, threads, tokens, pictureSize, prompt: "What is it?" };
  let promptIds: readonly number[] = [];
  const sides = {
    ours: async () => {
      const outcome = await runSide<Decoded>(ours("decode"), run);
      promptIds = outcome.result.promptIds;
      return outcome;
    },
    peer: () =>
      runSide<Omit<Decoded, "bytesPerToken" | "readBytesPerSecond">>(theirs(peer, "decode"), { ...run, promptIds }),
  };
  const figures = await byTurns(rounds, sides, (round, { ours: { result: own }, peer: { result: other } }) => {
    note(
      `round ${round + 1} of ${rounds}: ${shown(1 / own.seconds.token)} tokens/s here, ${shown(1 / other.seconds.token)} there`,
    );
    requireEqual("the first token's log-probability", own.firstLogProb, other.firstLogProb, 0.02);
  });
  const phases = (["open", "first token", "token"] as const).map((phase) => {
    const seconds = figures.map(({ ours, peer }) => ({
      ours: ours.result.seconds[phase],
      peer: peer.result.seconds[phase],
    }));
    return [phase, compare(seconds)] as const;
  });
  const token = phases.at(-1)![1];
  const own = figures.map(({ ours }) => ours.result);
  const limit = Math.max(...own.map(({ readBytesPerSecond }) => readBytesPerSecond)) / own[0]!.bytesPerToken;
  const memory = compare(
    figures.map(({ ours, peer }) => ({ ours: ours.result.peakBytes, peer: peer.result.peakBytes })),
  );
  const shareOfLimit = 1 / token.ours / limit;
  return {
    ratio: token.ratio,
    parts: {
      ...{ unit: "s", size, ...token, tokensPerSecond: { ours: 1 / token.ours, peer: 1 / token.peer, limit } },
      ...{ shareOfLimit, phases: Object.fromEntries(phases), peakBytes: memory },
    },
    table: [
      ["", "ours", "peer", "ratio", "rounds"],
      ...phases.map(([name, { ours, peer, ratio, spread }]) => [
        `${name}, s`,
        ...[shown(ours), shown(peer), shown(ratio), shownSpread(spread)],
      ]),
      ["tokens/s", shown(1 / token.ours), shown(1 / token.peer)],
      ["tokens/s that reading memory allows", shown(limit), "", shown(shareOfLimit)],
      ["peak memory, GB", shown(memory.ours / 1e9), shown(memory.peer / 1e9), shown(memory.ratio)],
    ],
  };
}
