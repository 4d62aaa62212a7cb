import type { BenchContext, BenchResult } from "../harness/bench.js";
import { byTurns, ours, runSide, theirs } from "../harness/sides.js";
import { type Compared, compare, geometricMean } from "../harness/statistics.js";
import { shown, shownSpread } from "../harness/table.js";

/** Nanoseconds of a call by case, as both sides print them. */
export interface OperatorTimes {
  /** No input wants a gradient. */
  plain: Record<string, number>;
  /** Inputs want gradients: what backward needs is recorded. */
  recording: Record<string, number>;
}

const modes = { plain: "without autograd", recording: "with autograd" } as const;

/** The cost of a call of small operators: what is left of it when the arithmetic is next to nothing. */
export async function operators({ peer, rounds, threads, note }: BenchContext): Promise<BenchResult> {
  const options = { threads, calls: 20_000, chainCalls: 1000, chunks: 9 };
  const run = {
    ours: async () => (await runSide<OperatorTimes>(ours("operators"), options)).result,
    peer: async () => (await runSide<OperatorTimes>(theirs(peer, "operators"), options)).result,
  };
  const figures = await byTurns(rounds, run, (round, { ours, peer }) =>
    note(
      `round ${round + 1} of ${rounds}: add takes ${shown(ours.plain.add!)} ns here, ${shown(peer.plain.add!)} ns there`,
    ),
  );

  const cases: Record<string, Record<string, Compared>> = {};
  const summary = {} as Record<(typeof modes)[keyof typeof modes], Compared>;
  for (const mode of ["plain", "recording"] as const) {
    const names = Object.keys(figures[0]!.ours[mode]);
    for (const name of names) {
      const rounds = figures.map(({ ours, peer }) => ({ ours: ours[mode][name]!, peer: peer[mode][name]! }));
      cases[name] = { ...cases[name], [modes[mode]]: compare(rounds) };
    }
    const means = figures.map(({ ours, peer }) => ({
      ours: geometricMean(names.map((name) => ours[mode][name]!)),
      peer: geometricMean(names.map((name) => peer[mode][name]!)),
    }));
    const ratio = geometricMean(names.map((name) => cases[name]![modes[mode]]!.ratio));
    summary[modes[mode]] = { ...compare(means), ratio };
  }
  const row = (name: string, mode: string, { ours, peer, ratio, spread }: Compared) => [
    name,
    mode,
    shown(ours),
    shown(peer),
    shown(ratio),
    shownSpread(spread),
  ];
  return {
    ratio: summary["without autograd"].ratio,
    parts: {
      "without autograd": summary["without autograd"].ratio,
      "with autograd": summary["with autograd"].ratio,
      spread: {
        "without autograd": summary["without autograd"].spread,
        "with autograd": summary["with autograd"].spread,
      },
      unit: "ns a call",
      cases,
    },
    table: [
      ["operator", "", "ours, ns", "peer, ns", "ratio", "rounds"],
      ...Object.entries(cases).flatMap(([name, byMode]) =>
        Object.entries(byMode).map(([mode, compared]) => row(name, mode, compared)),
      ),
      ...Object.entries(summary).map(([mode, compared]) => row("geometric mean", mode, compared)),
    ],
  };
}
