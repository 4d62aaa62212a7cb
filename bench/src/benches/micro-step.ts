import type { BenchContext, BenchResult } from "../harness/bench.js";
import { byTurns, ours, requireEqual, runSide, theirs } from "../harness/sides.js";
import { type Compared, compare, geometricMean } from "../harness/statistics.js";
import { shown, shownSpread } from "../harness/table.js";
import { withTemporaryFolder } from "../harness/temporary.js";
import { microRows } from "../micro/files.js";

export interface StepTimes {
  secondsPerStep: number;
  /** Of every step, the warm-up's too. */
  losses: number[];
}

/** How far losses of one step may be apart, relative to their size. Bfloat16 is rounded at other places over there. */
const TOLERANCE = { float32: 1e-3, bfloat16: 5e-2 } as const;
const WARMUP = 10;

/** glibc's settings that asvr's addon makes for itself, as environment variables. */
const sameMalloc = {
  MALLOC_MMAP_THRESHOLD_: String(32 << 20),
  MALLOC_TRIM_THRESHOLD_: String(512 << 20),
  MALLOC_TOP_PAD_: String(64 << 20),
};

/** A tuning step of the micro vision-language model: loss, backward, clipping, AdamW. */
export async function microStep(
  { peer, rounds, threads, note }: BenchContext,
  { steps }: { steps: number },
): Promise<BenchResult> {
  return withTemporaryFolder(async (folder) => {
    const total = WARMUP + steps;
    note("writing weights and samples");
    const { result: shape } = await runSide<{ rows: number; tokens: number }>(ours("prepare-micro"), {
      folder,
      steps: total,
      threads,
    });
    const measure = async (row: string, matmul: "float32" | "bfloat16", environment?: Record<string, string>) => {
      const options = { folder, row, warmup: WARMUP, steps, threads, matmul };
      const sides = {
        ours: async () => (await runSide<StepTimes>(ours("micro-step"), options)).result,
        peer: async () => (await runSide<StepTimes>(theirs(peer, "micro_step"), options, { environment })).result,
      };
      const name = `${row} ${matmul}${environment ? ", the peer with our malloc settings" : ""}`;
      const figures = await byTurns(rounds, sides, (round, { ours, peer }) => {
        const [here, there] = [ours.secondsPerStep * 1000, peer.secondsPerStep * 1000];
        note(`${name}, round ${round + 1} of ${rounds}: ${shown(here)} ms here, ${shown(there)} ms there`);
        for (const [step, loss] of ours.losses.entries()) {
          requireEqual(`${name}: the loss of step ${step}`, loss, peer.losses[step]!, TOLERANCE[matmul]);
        }
      });
      const inMilliseconds = figures.map(({ ours, peer }) => ({
        ours: ours.secondsPerStep * 1000,
        peer: peer.secondsPerStep * 1000,
      }));
      const { ours: here, peer: there } = figures[0]!;
      return { ...compare(inMilliseconds), lossesApart: furthest(here.losses, there.losses) };
    };

    const cases: Record<string, Compared & { lossesApart: number }> = {};
    for (const row of microRows) {
      cases[`${row} float32`] = await measure(row, "float32");
      cases[`${row} bfloat16`] = await measure(row, "bfloat16");
      cases[`${row} float32, same malloc`] = await measure(row, "float32", sameMalloc);
    }
    const meanOf = (kind: string) => geometricMean(microRows.map((row) => cases[`${row} ${kind}`]!.ratio));
    const ratio = meanOf("float32");
    return {
      ratio,
      parts: {
        llava: cases["llava float32"]!.ratio,
        asvr: cases["asvr float32"]!.ratio,
        bfloat16: meanOf("bfloat16"),
        "same malloc": meanOf("float32, same malloc"),
        unit: "ms a step",
        steps,
        batch: shape,
        cases,
      },
      table: [
        ["step", "ours, ms", "peer, ms", "ratio", "rounds", "losses apart"],
        ...Object.entries(cases).map(([name, { ours, peer, ratio, spread, lossesApart }]) => [
          name,
          shown(ours),
          shown(peer),
          shown(ratio),
          shownSpread(spread),
          lossesApart.toExponential(0),
        ]),
        ["geometric mean, float32", "", "", shown(ratio)],
        ["geometric mean, bfloat16", "", "", shown(meanOf("bfloat16"))],
      ],
    };
  });
}

/** The largest distance of two steps' losses, relative. */
function furthest(ours: readonly number[], peer: readonly number[]): number {
  return Math.max(...ours.map((loss, step) => Math.abs(loss - peer[step]!) / Math.abs(peer[step]!)));
}
