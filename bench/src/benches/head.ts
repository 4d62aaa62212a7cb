import type { VisualHeadConfig } from "asvr";
import { ConfigError } from "asvr";
import type { BenchContext, BenchResult } from "../harness/bench.js";
import { byTurns, ours, requireEqual, runSide, theirs } from "../harness/sides.js";
import { compare } from "../harness/statistics.js";
import { shown, shownSpread } from "../harness/table.js";

export interface HeadOptions {
  /** The classifiers with their cross-entropy alone, from features that are there; or the whole head. */
  part: "classifiers" | "whole";
  positions: number;
  config: VisualHeadConfig;
  threads: number;
}

export interface HeadFigures {
  loss: number;
  gradNorms: Record<"inputs" | "parameters", number>;
  /** The most that one pass took beside weights, gradients and inputs. */
  bytes: number;
  seconds: number;
}

/** The paper's head on one picture of SigLIP, under a 7B language model. */
const paper: Omit<HeadOptions, "threads" | "part"> = {
  positions: 729,
  config: {
    hiddenSize: 4096,
    embedDim: 2048,
    headDim: 128,
    layers: 3,
    depth: 8,
    codebookSize: 16_384,
    codeDim: 1152,
  },
};

/**
 * Loss and gradients at the paper's size: time, and the memory of a pass. The ratio is of the classifiers' times; the
 * whole head, whose layers are three quarters of the work and the same on both sides, is measured in one round.
 */
export async function head(context: BenchContext): Promise<BenchResult> {
  if (process.platform !== "linux") {
    throw new ConfigError(`head reads its memory from Linux's /proc; this is ${process.platform}`);
  }
  const classifiers = await measure(context, "classifiers", context.rounds);
  const whole = await measure(context, "whole", 1);
  const rows = Object.entries({ classifiers, whole }).flatMap(([part, { time, memory }]) => [
    [`${part}: time, s`, shown(time.ours), shown(time.peer), shown(time.ratio), shownSpread(time.spread)],
    [`${part}: memory, MB`, shown(memory.ours), shown(memory.peer), shown(memory.ratio), shownSpread(memory.spread)],
  ]);
  return {
    ratio: classifiers.time.ratio,
    parts: { time: classifiers.time, memory: classifiers.memory, whole, ...paper },
    table: [["", "ours", "peer", "ratio", "rounds"], ...rows],
  };
}

async function measure({ peer, threads, note }: BenchContext, part: HeadOptions["part"], rounds: number) {
  const options = { ...paper, part, threads };
  const sides = {
    ours: async () => (await runSide<HeadFigures>(ours("head"), options)).result,
    peer: async () => (await runSide<HeadFigures>(theirs(peer, "head"), options)).result,
  };
  const megabytes = ({ bytes }: HeadFigures) => bytes / 2 ** 20;
  const figures = await byTurns(rounds, sides, (round, { ours, peer }) => {
    note(
      `${part}, round ${round + 1} of ${rounds}: ${shown(ours.seconds)} s and ${shown(megabytes(ours))} MB here, ` +
        `${shown(peer.seconds)} s and ${shown(megabytes(peer))} MB there`,
    );
    requireEqual("the loss", ours.loss, peer.loss, 1e-5);
    for (const which of ["inputs", "parameters"] as const) {
      requireEqual(`the gradients' norm of the ${which}`, ours.gradNorms[which], peer.gradNorms[which], 1e-4);
    }
  });
  const time = compare(figures.map(({ ours, peer }) => ({ ours: ours.seconds, peer: peer.seconds })));
  const memory = compare(figures.map(({ ours, peer }) => ({ ours: megabytes(ours), peer: megabytes(peer) })));
  return { time: { unit: "s", ...time }, memory: { unit: "MB", ...memory } };
}
