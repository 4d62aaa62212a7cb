import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Recipe } from "asvr";
import type { BenchContext, BenchResult } from "../harness/bench.js";
import { BenchError, byTurns, ours, runSide, type Side, theirs } from "../harness/sides.js";
import { compare, median } from "../harness/statistics.js";
import { shown } from "../harness/table.js";
import { withTemporaryFolder } from "../harness/temporary.js";
import { asvrCommand, meanExactMatch, type Scores, type Study, secondsOfParts, studyOf } from "./demo-study.js";

const JOBS = 2;

interface PeerFigures {
  seconds: Record<string, number>;
  scores: Record<string, Scores>;
  /** Dtype of the matrix products that the peer found faster. */
  matmul: string;
}

interface Round {
  seconds: number;
  parts: Record<string, number>;
  scores: Record<string, Scores>;
  matmul: string;
}

/** With our trained weights the peer must give our codes and answers, as far as rounding allows. */
const AGREEMENT = { codes: 0.9, answers: 0.95 };
/** The peer's mean score must be this share of ours: less would say that it learned less. */
const LEARNED = 0.8;

/** The whole demo: every part, two at a time. */
export async function demo({ peer, rounds, note }: BenchContext, { quick }: { quick: boolean }): Promise<BenchResult> {
  return withTemporaryFolder(async (folder) => {
    const study = join(folder, "ours");
    const pictures = join(folder, "pictures.safetensors");
    const peersFolder = join(folder, "peer");
    await mkdir(peersFolder);
    const options = async () => {
      const { settings, recipes } = await studyOf(study);
      return {
        settings,
        recipes,
        order: [...settings.rows].sort((a, b) => costOf(recipes[b]!) - costOf(recipes[a]!)),
        data: join(study, "data"),
        pictures,
        study,
        folder: peersFolder,
        threads: settings.threads,
        jobs: JOBS,
      };
    };
    let isHandedOver = false;
    const handOver = async () => {
      const samples = join(folder, "samples.json");
      const found = await options();
      await runSide(ours("hand-over"), { ...found, recipe: found.recipes.llava, samples });
      const agreement = await agreementOf(theirs(peer, "demo_check"), { ...found, samples });
      note(`the peer with our weights: ${describe(agreement)}`);
      isHandedOver = true;
    };
    const sides = {
      ours: async (): Promise<Round> => {
        const seconds = await asvrCommand(study, { quick, jobs: JOBS });
        const { settings } = await studyOf(study);
        const scores = await meanExactMatch(study, settings);
        return { seconds, parts: await secondsOfParts(study), scores, matmul: settings.matmul };
      },
      peer: async (): Promise<Round> => {
        if (!isHandedOver) await handOver();
        const onProgress = (text: string) => void process.stderr.write(text.replaceAll(/^(?=.)/gm, "peer, "));
        const { seconds, result } = await runSide<PeerFigures>(theirs(peer, "demo"), await options(), { onProgress });
        return { seconds, parts: result.seconds, scores: result.scores, matmul: result.matmul };
      },
    };
    const figures = await byTurns(rounds, sides, (round, { ours, peer }) => {
      note(`round ${round + 1} of ${rounds}: ${shown(ours.seconds)} s here, ${shown(peer.seconds)} s there`);
      if (!quick) requireLearned(ours.scores, peer.scores);
    });
    return summarize(figures);
  });
}

function summarize(figures: readonly { ours: Round; peer: Round }[]): BenchResult {
  const wall = compare(figures.map(({ ours, peer }) => ({ ours: ours.seconds, peer: peer.seconds })));
  // The peer is given its pictures: what it does not do, as far as that delays our other parts, taken off.
  const withoutData = compare(
    figures.map(({ ours, peer }) => ({ ours: ours.seconds - (ours.parts.data ?? 0), peer: peer.seconds })),
  );
  const secondsOf = (side: "ours" | "peer", name: string) => {
    const seconds = figures.map((figure) => figure[side].parts[name]).filter((value) => value !== undefined);
    return seconds.length > 0 ? median(seconds) : undefined;
  };
  const names = [...new Set(figures.flatMap(({ ours, peer }) => Object.keys({ ...ours.parts, ...peer.parts })))];
  const parts = names.map((name) => ({ name, ours: secondsOf("ours", name), peer: secondsOf("peer", name) }));
  const [first] = figures;
  const rows = Object.keys(first!.ours.scores);
  const scores = Object.fromEntries(
    rows.map((row) => [row, { ours: first!.ours.scores[row]!, peer: first!.peer.scores[row]! }]),
  );
  const percent = (score: number) => `${(100 * score).toFixed(1)}%`;
  return {
    ratio: wall.ratio,
    parts: {
      unit: "s",
      ...wall,
      "without making pictures": withoutData.ratio,
      seconds: Object.fromEntries(parts.map(({ name, ours, peer }) => [name, { ours, peer }])),
      "exact match": scores,
      matmul: { ours: first!.ours.matmul, peer: first!.peer.matmul },
    },
    table: [
      ["part", "ours", "peer"],
      ...parts.map(({ name, ours, peer }) => [name, ours ? `${shown(ours)} s` : "", peer ? `${shown(peer)} s` : ""]),
      ["whole", `${shown(wall.ours)} s`, `${shown(wall.peer)} s`],
      ...rows.map((row) => [
        `${row}, exact match`,
        percent(scores[row]!.ours["test-seen"]),
        percent(scores[row]!.peer["test-seen"]),
      ]),
    ],
  };
}

/** As the study orders its rows: those that take longest first. */
function costOf({ supervision, name }: Recipe): number {
  return supervision.kind !== "none" || name.endsWith("equal-time") ? 1 : 0;
}

async function agreementOf(side: Side, options: Study & { threads: number; samples: string }) {
  const { result } = await runSide<Record<string, number>>(side, { ...options });
  for (const [what, share] of Object.entries(result)) {
    const needed = what.endsWith("answers") ? AGREEMENT.answers : AGREEMENT.codes;
    if (!(share >= needed)) {
      throw new BenchError(
        `with our weights the peer's ${what} agree with ours in ${share} of all cases, and ${needed} are needed: its ` +
          "networks are not ours, so its times say nothing.",
      );
    }
  }
  return result;
}

function describe(agreement: Record<string, number>): string {
  return Object.entries(agreement)
    .map(([what, share]) => `${what} ${(100 * share).toFixed(1)}% equal`)
    .join(", ");
}

/** @throws BenchError when the peer's models answer much worse than ours */
function requireLearned(ours: Record<string, Scores>, peer: Record<string, Scores>): void {
  const meanOf = (scores: Record<string, Scores>) => {
    const values = Object.values(scores).map((score) => score["test-seen"]);
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const [here, there] = [meanOf(ours), meanOf(peer)];
  if (there >= LEARNED * here) return;
  throw new BenchError(
    `the peer's rows answer ${(100 * there).toFixed(1)}% right and ours ${(100 * here).toFixed(1)}%: it learned less, so ` +
      "its time says nothing.",
  );
}
