import type { BenchContext, BenchResult } from "../harness/bench.js";
import { byTurns, ours, requireEqual, runSide, theirs } from "../harness/sides.js";
import { compare } from "../harness/statistics.js";
import { shown, shownSpread } from "../harness/table.js";
import { withTemporaryFolder } from "../harness/temporary.js";

export interface FirstStep {
  loss: number;
  /** As the process itself sees it, without the start of the interpreter. */
  seconds: Record<"load libraries" | "read files" | "optimizer and step", number>;
}

/** From the start of a process to the end of its first training step. */
export async function startup({ peer, rounds, threads, note }: BenchContext): Promise<BenchResult> {
  return withTemporaryFolder(async (folder) => {
    note("writing weights and samples");
    await runSide(ours("prepare-micro"), { folder, steps: 1, threads });
    const options = { folder, row: "asvr", threads };
    const sides = {
      ours: () => runSide<FirstStep>(ours("startup"), options),
      peer: () => runSide<FirstStep>(theirs(peer, "startup"), options),
    };
    await byTurns(1, sides); // so that all files are in memory, and Python has compiled its modules
    const figures = await byTurns(rounds, sides, (round, { ours, peer }) => {
      note(`round ${round + 1} of ${rounds}: ${shown(ours.seconds)} s here, ${shown(peer.seconds)} s there`);
      requireEqual("the first step's loss", ours.result.loss, peer.result.loss, 1e-3);
    });
    const compared = compare(figures.map(({ ours, peer }) => ({ ours: ours.seconds, peer: peer.seconds })));
    const phases = (["load libraries", "read files", "optimizer and step"] as const).map((phase) => {
      const rounds = figures.map(({ ours, peer }) => ({
        ours: ours.result.seconds[phase],
        peer: peer.result.seconds[phase],
      }));
      return [phase, compare(rounds)] as const;
    });
    return {
      ratio: compared.ratio,
      parts: { unit: "s", ...compared, phases: Object.fromEntries(phases) },
      table: [
        ["", "ours, s", "peer, s", "ratio", "rounds"],
        ...([["whole", compared], ...phases] as const).map(([name, { ours, peer, ratio, spread }]) => [
          name,
          shown(ours),
          shown(peer),
          shown(ratio),
          shownSpread(spread),
        ]),
      ],
    };
  });
}
