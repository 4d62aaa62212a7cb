/** HallusionBench: right questions, figures with all questions right, questions right on all figures of their set. */
import { allOf, each, type Part, type Scored, share, valuesBy } from "./shares.js";

export interface HallusionPlace {
  category: string;
  subcategory: string;
  set_id: string;
  figure_id: string;
  question_id: string;
}
export type HallusionItem = Scored & HallusionPlace;

/** Shares, 0 to 1. */
export interface HallusionScores {
  aAcc: number;
  fAcc: number;
  qAcc: number;
}

const setOf = ({ category, subcategory, set_id }: HallusionPlace) => `${category}_${subcategory}_${set_id}`;
const figureOf = (item: HallusionPlace) => `${setOf(item)}_${item.figure_id}`;
const questionOf = (item: HallusionPlace) => `${setOf(item)}_${item.question_id}`;

/** Figures and questions on several figures both lie within a set: it is what hangs together. */
export function hallusionCluster(place: HallusionPlace): string {
  return setOf(place);
}

export function hallusionScores(items: readonly HallusionItem[]): HallusionScores {
  return {
    aAcc: share(each(items)),
    fAcc: share(allOf(items, figureOf)),
    qAcc: share(allOf(items, questionOf)),
  };
}

/** "Overall", then by category and by category and subcategory. */
export function hallusionTable(items: readonly HallusionItem[]): Record<string, HallusionScores> {
  return {
    Overall: hallusionScores(items),
    ...valuesBy(items, ({ category }) => category, hallusionScores),
    ...valuesBy(items, ({ category, subcategory }) => `${category}_${subcategory}`, hallusionScores),
  };
}

/** The mean of the three, 0 to 100. */
export function hallusionParts(items: readonly HallusionItem[]): Part[] {
  const units = [each(items), allOf(items, figureOf), allOf(items, questionOf)];
  return units.map((some) => ({ scale: 100 / 3, units: some }));
}

/** A judge's verdict: 0 wrong, 1 right, 2 unclear. */
export type Verdict = "0" | "1" | "2";

/**
 * The benchmark's own metric over a judge's verdicts. Without a picture (VS, figure 0) "unclear" is right, and such
 * questions are no figure.
 */
export function judgedHallusion(items: readonly (HallusionPlace & { judge: Verdict })[]): HallusionScores {
  return judgedScores(items.map((item) => ({ ...item, cluster: setOf(item), score: verdictWorth(item.judge, item) })));
}

/** 1 for a verdict that counts as right. */
export function verdictWorth(verdict: Verdict, place: HallusionPlace): number {
  return verdict === "1" || (verdict === "2" && hasNoFigure(place)) ? 1 : 0;
}

/** `judgedHallusion` of what verdicts are worth. */
export function judgedScores(items: readonly HallusionItem[]): HallusionScores {
  return { ...hallusionScores(items), fAcc: share(allOf(withFigure(items), figureOf)) };
}

/** The mean of the three, 0 to 100. */
export function judgedParts(items: readonly HallusionItem[]): Part[] {
  const units = [each(items), allOf(withFigure(items), figureOf), allOf(items, questionOf)];
  return units.map((some) => ({ scale: 100 / 3, units: some }));
}

const hasNoFigure = ({ category, figure_id }: HallusionPlace) => category === "VS" && figure_id === "0";
const withFigure = (items: readonly HallusionItem[]) => items.filter((item) => !hasNoFigure(item));
