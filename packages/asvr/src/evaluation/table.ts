/**
 * Predictions -> the table of a study, as saved in `tables.json` (schema and rules: docs/results-format.md).
 * All scores are percent; all differences are percentage points.
 */
import { type PaperGroup, paperBenchmarks, paperGroupMeans, paperRow } from "../recipes/paper-tables.js";
import type { Prediction, SeedResult, Split, Study, StudyRow, WorldManifest } from "../runs/run-folder.js";
import { averageValues, differenceOf, type GridValues, QuestionGrid } from "./question-grid.js";
import { bootstrapOverClusters, type Interval, mean, pairedPermutation, pairedT, tInterval } from "./statistics.js";

export type IntervalKind = "bootstrap over test images" | "t over seeds";
export type TestKind = "paired permutation over images" | "paired t over seeds";

/** From this many seeds on, intervals measure the spread over seeds instead of over test images. */
export const seedsForT = 3;
/** The row that every other row is compared with. */
export const baselineId = "llava";

export interface Difference {
  against: string;
  mean: number;
  interval: Interval;
  p: number;
}

/** A difference between two rows on one test set, with what it was computed from. */
export interface Comparison extends Difference {
  row: string;
  split: Split;
  /** The seeds that both rows have: the pairs. */
  seeds: number[];
  intervalKind: IntervalKind;
  test: TestKind;
}

export interface TableRow {
  id: string;
  supervision: string;
  alignment: string;
  /** Seeds with a complete evaluation on test-seen. */
  seeds: number[];
  /** Optimizer steps, both stages together. */
  steps: number;
  /** Training time of both stages, mean over seeds; absent without result.json. */
  seconds?: number;
  scores: Record<string, number>;
  groups: Record<string, number>;
  mean: number;
  /** Mean over the types of test-novel (`novelTypes`); absent when that was not evaluated. */
  novel?: number;
  interval: Interval;
  intervalKind: IntervalKind;
  /** Absent for the baseline itself, and when the two rows have no seed in common. */
  difference?: Difference;
}

/** A row of the paper's own table, matched by id. */
export interface PaperTableRow {
  id: string;
  scores: Record<string, number>;
  groups: Record<PaperGroup, number>;
  /** The average as printed. */
  mean: number;
  difference?: { against: string; mean: number };
}

export interface Tables {
  table: string;
  scale: string;
  rows: TableRow[];
  /**
   * `majority`: what always giving the type's most frequent answer scores; `blind`: what reading the question without
   * the picture scores. Absent when the data's manifest does not say.
   */
  types: Record<string, { group: string; majority?: number; blind?: number }>;
  /** The question types of test-novel: a subset, since not every type asks about a drawing. */
  novelTypes: string[];
  paper: PaperTableRow[];
  comparisons: Comparison[];
  command: string;
  revision?: string;
  /** When the study ended, or began if it has not ended. */
  date: string;
  machine: Study["machine"];
  /** What could not be tabulated, in words. */
  missing: string[];
}

/** What one row and seed left behind. */
export interface SeedRun {
  seed: number;
  predictions: Partial<Record<Split, Prediction[]>>;
  result?: SeedResult;
}

export interface RowRuns {
  row: StudyRow;
  seeds: SeedRun[];
}

export function tabulate(study: Study, manifest: WorldManifest | undefined, runs: readonly RowRuns[]): Tables {
  const missing: string[] = [];
  const seen = new SplitScores("test-seen", runs, manifest, missing);
  const novel = new SplitScores("test-novel", runs, manifest, missing);
  const groups = groupsOf(runs, manifest);
  const comparisons = pairsToCompare(study).flatMap(([row, against]) =>
    [seen, novel].flatMap((split) => split.compare(row, against) ?? []),
  );
  const rows = runs.flatMap(({ row, seeds }): TableRow[] => {
    const summary = seen.summary(row.id);
    if (!summary) {
      missing.push(`${row.id}: not in the table, since no seed is completely evaluated on test-seen`);
      return [];
    }
    const { scores, ...rest } = summary;
    const base = baselineOf(row, study);
    const difference = comparisons.find(
      (one) => one.row === row.id && one.split === "test-seen" && one.against === base,
    );
    if (!difference && base !== undefined && row.id !== base) {
      missing.push(`${row.id}: no seed in common with ${base}, so no difference`);
    }
    const novelMean = novel.summary(row.id)?.mean;
    const times = seeds.flatMap(({ seed, result }) =>
      result && rest.seeds.includes(seed) ? [result.seconds.pretraining + result.seconds.tuning] : [],
    );
    return [
      {
        id: row.id,
        supervision: row.supervision,
        alignment: row.alignment,
        seeds: rest.seeds,
        steps: row.steps.pretraining + row.steps.tuning,
        ...(times.length > 0 && { seconds: rounded(mean(times)) }),
        scores,
        groups: groupMeans(scores, groups),
        mean: rest.mean,
        ...(novelMean !== undefined && { novel: novelMean }),
        interval: rest.interval,
        intervalKind: rest.intervalKind,
        ...(difference && { difference: plainDifference(difference) }),
      },
    ];
  });
  return {
    table: study.table,
    scale: study.scale,
    rows,
    types: Object.fromEntries(
      [...groups].map(([type, group]) => {
        const { majorityShare, blindShare } = manifest?.questionTypes[type] ?? {};
        const majority = majorityShare !== undefined && { majority: percent(majorityShare) };
        return [type, { group, ...majority, ...(blindShare !== undefined && { blind: percent(blindShare) }) }];
      }),
    ),
    novelTypes: novel.types,
    paper: study.rows.flatMap((row) => paperTableRow(row, study) ?? []),
    comparisons,
    command: study.command,
    ...(study.revision && { revision: study.revision }),
    date: study.finishedAt ?? study.startedAt,
    machine: study.machine,
    missing,
  };
}

/** The scores of all rows on one test set. */
class SplitScores {
  private readonly grid: QuestionGrid | undefined;
  /** Row -> seed -> right answers. */
  private readonly values = new Map<string, Map<number, GridValues>>();

  constructor(
    readonly split: Split,
    runs: readonly RowRuns[],
    manifest: WorldManifest | undefined,
    missing: string[],
  ) {
    const answered = runs.flatMap(({ row, seeds }) =>
      seeds.flatMap(({ seed, predictions }) => {
        const answers = predictions[split];
        return answers && answers.length > 0 ? [{ row: row.id, seed, answers }] : [];
      }),
    );
    if (answered.length === 0) {
      missing.push(`${split}: no row was evaluated on it`);
      return;
    }
    // The longest list of answers defines the test set; a run cut off in its evaluation is left out by name.
    const questions = answered.reduce((best, one) => (one.answers.length > best.answers.length ? one : best)).answers;
    this.grid = new QuestionGrid(questions, Object.keys(manifest?.questionTypes ?? {}));
    for (const { row, seed, answers } of answered) {
      const mismatch = this.grid.mismatch(answers);
      if (mismatch) missing.push(`${row}, seed ${seed}, ${split}: ${mismatch}, so this run is left out`);
      else this.values.set(row, (this.values.get(row) ?? new Map()).set(seed, this.grid.values(answers)));
    }
    for (const { row, seeds } of runs) {
      const absent = row.seeds.filter((seed) => !seeds.some((run) => run.seed === seed && run.predictions[split]));
      if (absent.length > 0) missing.push(`${row.id}, ${split}: no predictions of seed ${absent.join(", ")}`);
    }
  }

  get types(): string[] {
    return [...(this.grid?.types ?? [])];
  }

  summary(
    row: string,
  ): (Pick<TableRow, "seeds" | "scores" | "mean" | "interval"> & { intervalKind: IntervalKind }) | undefined {
    const bySeed = this.values.get(row);
    if (!bySeed || !this.grid) return undefined;
    const values = [...bySeed.values()];
    const average = averageValues(values);
    const shares = this.grid.byType(average);
    return {
      seeds: [...bySeed.keys()],
      scores: Object.fromEntries(this.grid.types.map((type, index) => [type, percent(shares[index]!)])),
      mean: percent(this.grid.score(average)),
      ...this.interval(values, average),
    };
  }

  compare(row: string, against: string): Comparison | undefined {
    const first = this.values.get(row);
    const second = this.values.get(against);
    const seeds = [...(first?.keys() ?? [])].filter((seed) => second?.has(seed));
    if (!first || !second || !this.grid || seeds.length === 0) return undefined;
    const grid = this.grid;
    const values = seeds.map((seed) => differenceOf(first.get(seed)!, second.get(seed)!));
    const average = averageValues(values);
    const overSeeds = seeds.length >= seedsForT;
    const p = overSeeds
      ? pairedT(values.map((one) => grid.score(one))).p
      : pairedPermutation(grid.contributions(average));
    return {
      row,
      against,
      split: this.split,
      mean: percent(grid.score(average)),
      ...this.interval(values, average),
      p: Number(p.toPrecision(3)),
      seeds,
      test: overSeeds ? "paired t over seeds" : "paired permutation over images",
    };
  }

  private interval(
    values: readonly GridValues[],
    average: GridValues,
  ): { interval: Interval; intervalKind: IntervalKind } {
    const grid = this.grid!;
    const overSeeds = values.length >= seedsForT;
    const [low, high] = overSeeds
      ? tInterval(values.map((one) => grid.score(one)))
      : bootstrapOverClusters(grid.images.length, (drawn) => grid.score(average, drawn));
    return {
      interval: [percent(low), percent(high)],
      intervalKind: overSeeds ? "t over seeds" : "bootstrap over test images",
    };
  }
}

/**
 * What a row is compared with: the row that it names, where the study has that; else the baseline. Undefined for a row
 * that is the baseline of others, where the study has no other.
 */
function baselineOf({ id, against }: StudyRow, { rows }: Study): string | undefined {
  if (against !== undefined && rows.some((row) => row.id === against)) return against;
  const isBaseline = rows.some((row) => row.against === id);
  return isBaseline && rows.every((row) => row.id !== baselineId) ? undefined : baselineId;
}

/** Every row against the baseline, and the pairs that a plain reading needs besides. */
function pairsToCompare(study: Study): [row: string, against: string][] {
  const { rows } = study;
  const ids = rows.map((row) => row.id);
  const withRole = (role: StudyRow["role"]) => rows.filter((row) => row.role === role).map((row) => row.id);
  const extra: [string, string][] = [
    ...[...withRole("equal-time"), ...withRole("control"), "appearance"].map((id): [string, string] => ["asvr", id]),
    ...rows.filter(({ against }) => against === "asvr").map(({ id }): [string, string] => [id, baselineId]),
    ["asvr", "asvr-next"],
    ["asvr", "asvr-tuning-only"],
    ["dual", "asvr"],
    ["asvr-short", "appearance-short"],
    ["asvr-long", "appearance-long"],
  ];
  return [
    ...rows.flatMap((row): [string, string][] => {
      const base = baselineOf(row, study);
      return base === undefined || base === row.id ? [] : [[row.id, base]];
    }),
    ...extra.filter(([row, against]) => ids.includes(row) && ids.includes(against)),
  ];
}

/** Type -> group: the manifest's where it knows the type, else the predictions' own. */
function groupsOf(runs: readonly RowRuns[], manifest: WorldManifest | undefined): Map<string, string> {
  const groups = new Map(Object.entries(manifest?.questionTypes ?? {}).map(([type, { group }]) => [type, group]));
  const predictions = runs.flatMap(({ seeds }) => seeds.flatMap((seed) => Object.values(seed.predictions)));
  for (const answers of predictions) {
    for (const { type, group } of answers ?? []) if (!groups.has(type)) groups.set(type, group);
  }
  return groups;
}

function groupMeans(scores: Record<string, number>, groups: ReadonlyMap<string, string>): Record<string, number> {
  const members = new Map<string, number[]>();
  for (const [type, group] of groups) {
    const score = scores[type];
    if (score !== undefined) members.set(group, [...(members.get(group) ?? []), score]);
  }
  return Object.fromEntries([...members].map(([group, values]) => [group, rounded(mean(values))]));
}

function paperTableRow(row: StudyRow, study: Study): PaperTableRow | undefined {
  const printed = paperRow(study.table, row.id) ?? (row.id === baselineId ? paperRow("table1", row.id) : undefined);
  if (!printed) return undefined;
  const groups = paperGroupMeans(printed);
  for (const group of Object.keys(groups) as PaperGroup[]) groups[group] = rounded(groups[group]);
  const against = baselineOf(row, study);
  const base = against === undefined ? undefined : (paperRow(study.table, against) ?? paperRow("table1", against));
  const difference = base && against !== row.id ? printed.printedAverage - base.printedAverage : undefined;
  return {
    id: row.id,
    scores: Object.fromEntries(paperBenchmarks.map((name, index) => [name, printed.scores[index]!])),
    groups,
    mean: printed.printedAverage,
    ...(difference !== undefined && { difference: { against: against!, mean: rounded(difference) } }),
  };
}

function plainDifference({ against, mean, interval, p }: Comparison): Difference {
  return { against, mean, interval, p };
}

/** A share in percent, rounded for the file: four decimals, far below what any interval resolves. */
function percent(value: number): number {
  return rounded(100 * value);
}

function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4 + 0; // + 0 turns -0, which JSON does not know, into 0
}
