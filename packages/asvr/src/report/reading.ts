/**
 * The plain reading of a table: sentences computed from its numbers. A sentence claims a direction only where there are
 * seeds enough for an interval over seeds, and that interval lies on one side of zero. Of fewer seeds it says what was
 * measured, and that they separate nothing.
 */
import { mean } from "../evaluation/statistics.js";
import { baselineId, type Comparison, seedsForT, type TableRow, type Tables } from "../evaluation/table.js";
import type { Split, StudyRow } from "../runs/run-folder.js";
import { duration, interval, listing, points, probability, signedPoints, whole } from "./format.js";
import { rowName } from "./rows.js";

export interface Finding {
  topic: string;
  text: string;
}

export type Verdict = "above" | "below" | "open";

/** On which side of zero the interval lies. It is open with few seeds, whose intervals leave out the luck of training. */
export function verdict({ interval: [low, high], seeds }: Pick<Comparison, "interval" | "seeds">): Verdict {
  if (seeds.length < seedsForT) return "open";
  if (low > 0) return "above";
  return high < 0 ? "below" : "open";
}

export function readTable(tables: Tables, studyRows: readonly StudyRow[]): Finding[] {
  const reader = new Reader(tables, studyRows);
  if (tables.table !== "table1") {
    return [...reader.pairs(), ...reader.common()].filter(({ text }) => text !== "");
  }
  return [
    { topic: "Equal steps", text: reader.equalSteps() },
    { topic: "Equal time", text: reader.equalTime() },
    { topic: "Semantic or appearance", text: reader.appearance() },
    { topic: "Control", text: reader.control() },
    { topic: "Alignment", text: reader.alignment() },
    { topic: "Stages", text: reader.stages() },
    { topic: "Both kinds of codes", text: reader.dual() },
    { topic: "Discrete input", text: reader.discrete() },
    { topic: "Short and long training", text: reader.durations() },
    ...reader.common(),
  ].filter(({ text }) => text !== "");
}

const paperScope =
  "The paper reports 2 to 3 points on 14 benchmarks of real pictures with a language model of 7 billion parameters. " +
  "That is not tested here: this is a tiny model on other data with other questions.";

class Reader {
  constructor(
    private readonly tables: Tables,
    private readonly studyRows: readonly StudyRow[],
  ) {}

  /** What is said of every table. */
  common(): Finding[] {
    return [
      { topic: "Unseen drawings", text: this.novel() },
      { topic: "Guessing", text: this.guessing() },
      { topic: "What the intervals cover", text: this.coverage() },
      { topic: "The paper", text: paperScope },
    ];
  }

  /** Each row beside the one that it is compared with, and what the paper has there. */
  pairs(): Finding[] {
    const { rows, paper } = this.tables;
    const title = (id: string) => rowName({ study: { rows: this.studyRows } }, id);
    const found = rows.flatMap((row): Finding[] => {
      const comparison = row.difference && this.comparison(row.id, row.difference.against);
      const base = this.row(row.difference?.against);
      if (!comparison || !base) return [];
      const side = verdict(comparison);
      const printed = paper.find(({ id }) => id === row.id)?.difference?.mean;
      const sameSign = printed !== undefined && Math.sign(printed) === Math.sign(comparison.mean);
      const text = sentences(
        `${title(row.id)} scores ${points(row.mean)}%, ${title(base.id)} ${points(base.mean)}%: ${numbers(comparison)}.`,
        row.steps !== base.steps && `They took ${whole(row.steps)} and ${whole(base.steps)} steps.`,
        said(comparison, {
          above: "The interval lies above zero: it is ahead in this run.",
          below: "The interval lies below zero: it is behind in this run.",
          open: "The interval contains zero: this run does not separate the two.",
        }),
        printed !== undefined &&
          `The paper has ${signedPoints(printed)}${side === "open" ? "" : sameSign ? ", the same sign" : ", the other sign"}.`,
      );
      return [{ topic: `${title(row.id)}, against ${title(base.id)}`, text }];
    });
    if (found.length > 0) return found;
    return [{ topic: "Comparisons", text: "This run has no finished pair of rows to compare." }];
  }

  equalSteps(): string {
    const asvr = this.row("asvr");
    const baseline = this.row(baselineId);
    const comparison = this.comparison("asvr", baselineId);
    if (!asvr || !baseline || !comparison) {
      return "This run has no finished pair of ASVR and baseline, so it cannot say whether reconstructing codes helps.";
    }
    const steps =
      asvr.steps === baseline.steps
        ? `After the same ${whole(asvr.steps)} steps`
        : `After ${whole(asvr.steps)} steps against ${whole(baseline.steps)}`;
    return sentences(
      `${steps}, ASVR scores ${points(asvr.mean)}% and the baseline, trained on text alone, ${points(baseline.mean)}%: ` +
        `${numbers(comparison)}.`,
      said(comparison, {
        above: "The interval lies above zero: ASVR is ahead in this run.",
        below: "The interval lies below zero: ASVR is behind in this run.",
        open: "The interval contains zero: this run does not separate the two.",
      }),
    );
  }

  equalTime(): string {
    const asvr = this.row("asvr");
    const baseline = this.row(baselineId);
    const longer = this.row(this.withRole("equal-time"));
    const comparison = longer && this.comparison("asvr", longer.id);
    if (!asvr) return "";
    if (!longer || !comparison) {
      const ratio = asvr.seconds && baseline?.seconds && asvr.seconds / baseline.seconds;
      const cost = ratio ? ` ASVR's training took ${ratio.toFixed(2)} times as long as the baseline's.` : "";
      return `No row gives the baseline as much time as ASVR had, so equal steps is the only comparison here.${cost}`;
    }
    const times =
      asvr.seconds && longer.seconds ? ` (${duration(longer.seconds)}; ASVR took ${duration(asvr.seconds)})` : "";
    const ratio = asvr.seconds && longer.seconds && longer.seconds / asvr.seconds;
    const aheadAtEqualSteps = this.verdictOf("asvr", baselineId) === "above";
    return sentences(
      `A baseline given more steps, meant to take ASVR's time${times}, scores ${points(longer.mean)}%; ` +
        `ASVR minus it: ${numbers(comparison)}.`,
      ratio !== undefined &&
        Math.abs(ratio - 1) > 0.1 &&
        `It took ${ratio.toFixed(2)} times ASVR's time, so the two are not quite equal in time.`,
      said(comparison, {
        above: "ASVR is ahead of this baseline too.",
        below: "Plain training for longer is ahead of ASVR.",
        open: aheadAtEqualSteps
          ? "The interval contains zero: the lead at equal steps may be faster learning only, bought with dearer steps."
          : "The interval contains zero: this run does not separate the two.",
      }),
    );
  }

  appearance(): string {
    const comparison = this.comparison("asvr", "appearance");
    const overBaseline = this.comparison("appearance", baselineId);
    if (!comparison) return "";
    return sentences(
      `Semantic codes (ASVR) minus appearance codes: ${numbers(comparison)}.`,
      said(comparison, {
        above: "The interval lies above zero: semantic codes are ahead, as in the paper.",
        below: "The interval lies below zero: appearance codes are ahead, against the paper.",
        open: "The interval contains zero: this run neither confirms nor refutes the paper's order (semantic ahead).",
      }),
      overBaseline &&
        `Appearance codes minus baseline: ${numbers(overBaseline)}; ${
          {
            above: "above the baseline, where the paper has them below it.",
            below: "below the baseline, as in the paper.",
            open: "not separated from the baseline.",
          }[verdict(overBaseline)]
        }`,
    );
  }

  control(): string {
    const control = this.row(this.withRole("control"));
    const comparison = control && this.comparison("asvr", control.id);
    const overBaseline = control && this.comparison(control.id, baselineId);
    if (!control || !comparison) return "";
    return sentences(
      `Trained to reconstruct the codes of another picture, the model scores ${points(control.mean)}%; ` +
        `ASVR minus this control: ${numbers(comparison)}.`,
      said(comparison, {
        above: "The interval lies above zero: in this run what the codes say matters, not just an extra loss.",
        below: "The interval lies below zero: wrong codes did better than right ones.",
        open: "The interval contains zero: this run does not show that the content of the codes matters.",
      }),
      overBaseline && `Control minus baseline: ${numbers(overBaseline)}.`,
    );
  }

  alignment(): string {
    return this.pair(
      "asvr",
      "asvr-next",
      "Reading the hidden state at a position (as the authors' code does) minus the one before it (Eq. 2 as printed)",
      {
        above: "The authors' code's reading is ahead.",
        below: "The printed equation's reading is ahead.",
      },
    );
  }

  stages(): string {
    return this.pair("asvr", "asvr-tuning-only", "Reconstruction in both stages minus in tuning alone", {
      above: "Both stages are ahead, as in the paper's Table 8.",
      below: "Tuning alone is ahead, against the paper's Table 8.",
    });
  }

  dual(): string {
    return this.pair("dual", "asvr", "Both kinds of codes minus semantic codes alone", {
      above: "Both together are ahead, which the paper does not find.",
      below: "Semantic codes alone are ahead, as in the paper.",
    });
  }

  discrete(): string {
    return this.pair("asvr-discrete", "llava-discrete", "With discrete input, semantic codes minus text alone", {
      above: "Reconstruction is ahead, as in the paper.",
      below: "Reconstruction is behind, against the paper.",
    });
  }

  durations(): string {
    const parts = (["short", "long"] as const).flatMap((length) => {
      const [baseline, asvr] = [this.row(`llava-${length}`), this.row(`asvr-${length}`)];
      const semantic = this.comparison(`asvr-${length}`, `llava-${length}`);
      if (!baseline || !asvr || !semantic) return [];
      const appearance = this.comparison(`appearance-${length}`, `llava-${length}`);
      const both = this.comparison(`asvr-${length}`, `appearance-${length}`);
      return [
        `After ${whole(asvr.steps)} steps, ASVR scores ${points(asvr.mean)}% and the baseline ${points(baseline.mean)}%: ` +
          `${numbers(semantic)}.`,
        ...(appearance ? [`Appearance codes minus that baseline: ${numbers(appearance)}.`] : []),
        ...(both ? [`Semantic minus appearance codes there: ${numbers(both)}.`] : []),
      ];
    });
    return parts.join(" ");
  }

  /** One difference in words; nothing where the study has no such pair. */
  private pair(row: string, against: string, what: string, words: Record<"above" | "below", string>): string {
    const comparison = this.comparison(row, against);
    if (!comparison) return "";
    return sentences(
      `${what}: ${numbers(comparison)}.`,
      said(comparison, { ...words, open: "The interval contains zero: this run does not separate the two." }),
    );
  }

  novel(): string {
    const asvr = this.row("asvr");
    const comparison = this.comparison("asvr", baselineId, "test-novel");
    const baseline = this.row(baselineId);
    if (asvr?.novel === undefined || baseline?.novel === undefined || !comparison) return "";
    return sentences(
      `On drawings from a source kept out of training, ASVR scores ${points(asvr.novel)}% (${this.familiar(asvr)}% on ` +
        `familiar ones, same question types), the baseline ${points(baseline.novel)}% (${this.familiar(baseline)}%); ` +
        `ASVR minus baseline there: ${numbers(comparison)}.`,
      said(comparison, {
        above: "ASVR is ahead on unseen drawings too.",
        below: "On unseen drawings ASVR is behind.",
        open: "On unseen drawings this run does not separate the two.",
      }),
    );
  }

  guessing(): string {
    const asked = Object.entries(this.tables.types).flatMap(([type, { majority, blind = majority }]) => {
      const rows = this.tables.rows.filter((row) => type in row.scores);
      return majority === undefined || rows.length === 0 ? [] : [{ type, majority, blind: blind!, rows }];
    });
    if (asked.length === 0) return "";
    const knowsBlind = asked.some(({ majority, blind }) => blind !== majority);
    const idle = asked.filter(({ type, majority, blind, rows }) => {
      return rows.every((row) => row.scores[type]! < Math.max(majority, blind) + 2);
    });
    return sentences(
      `Always giving a question type's most frequent answer scores ${points(mean(asked.map((one) => one.majority)))}%` +
        `${knowsBlind ? `, reading the question but never looking ${points(mean(asked.map((one) => one.blind)))}%` : ""}.`,
      idle.length > 0 &&
        `No row is 2 points above that on ${listing(idle.map(({ type }) => type))}: differences there say nothing about seeing.`,
    );
  }

  coverage(): string {
    const { rows } = this.tables;
    if (rows.length === 0) return "";
    const fewest = Math.min(...rows.map((row) => row.seeds.length));
    const most = Math.max(...rows.map((row) => row.seeds.length));
    const overImages =
      "resamples the test images only; it does not cover training luck. Another seed may move a row by more than its interval, so no direction is claimed and no test is made.";
    const overSeeds =
      "is a t interval over seeds (initialisation and data order); data, encoder, tokenizers and the text-only language model stay one draw.";
    const seeds = most === 1 ? "One seed a row" : `${fewest === most ? most : `${fewest} to ${most}`} seeds a row`;
    const body =
      most < seedsForT
        ? `every interval ${overImages}`
        : fewest >= seedsForT
          ? `every interval ${overSeeds}`
          : `with ${seedsForT} or more, an interval ${overSeeds} With fewer, it ${overImages}`;
    const tests = most < seedsForT ? "" : " The p values are not corrected for the number of comparisons.";
    return `${seeds}: ${body}${tests}`;
  }

  /** The row's mean on test-seen over the question types that test-novel has. */
  private familiar(row: TableRow): string {
    return points(mean(this.tables.novelTypes.flatMap((type) => row.scores[type] ?? [])));
  }

  private row(id: string | undefined): TableRow | undefined {
    return this.tables.rows.find((row) => row.id === id);
  }

  private withRole(role: StudyRow["role"]): string | undefined {
    return this.studyRows.find((row) => row.role === role)?.id;
  }

  private comparison(row: string, against: string, split: Split = "test-seen"): Comparison | undefined {
    return this.tables.comparisons.find((one) => one.row === row && one.against === against && one.split === split);
  }

  private verdictOf(row: string, against: string): Verdict | undefined {
    const comparison = this.comparison(row, against);
    return comparison && verdict(comparison);
  }
}

/** The difference with its interval and test; of few seeds the difference alone, which is all that was measured. */
function numbers(comparison: Comparison): string {
  const difference = `${signedPoints(comparison.mean)} points`;
  if (comparison.seeds.length < seedsForT) return difference;
  return `${difference}, 95% interval ${interval(comparison.interval)}, ${probability(comparison.p)}`;
}

/** What follows from a difference: the words for its side, and whether its test disagrees. Nothing follows from few seeds. */
function said(comparison: Comparison, words: Record<Verdict, string>): string {
  const { seeds, p } = comparison;
  if (seeds.length < seedsForT) {
    return `${seeds.length === 1 ? "One seed separates" : `${seeds.length} seeds separate`} nothing.`;
  }
  const side = verdict(comparison);
  const agrees = (side !== "open") === p < 0.05;
  return sentences(words[side], !agrees && "Interval and test disagree at the 5% level: call it borderline.");
}

function sentences(...parts: (string | false | undefined)[]): string {
  return parts.filter(Boolean).join(" ");
}
