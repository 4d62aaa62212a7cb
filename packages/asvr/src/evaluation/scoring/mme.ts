/** MME: questions in pairs, one pair a picture; of each category accuracy and accuracy of pairs, summed. */
import { groupBy } from "../record-scores.js";
import { allOf, each, type Part, type Scored, share, valuesBy } from "./shares.js";

export const MME_CATEGORIES = {
  perception: [
    "existence",
    "count",
    "position",
    "color",
    "posters",
    "celebrity",
    "scene",
    "landmark",
    "artwork",
    "OCR",
  ],
  cognition: ["commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"],
} as const;
export type MmeHalf = keyof typeof MME_CATEGORIES;

export interface MmeItem extends Scored {
  category: string;
  /** The two questions of a picture share it. */
  pair: string;
}

/** In the points of MME: 100 for all questions right, 100 for all pairs. */
export interface MmeCategory {
  acc: number;
  accPlus: number;
  score: number;
  questions: number;
}

export function mmeCategories(items: readonly MmeItem[]): Record<string, MmeCategory> {
  return valuesBy(
    items,
    ({ category }) => category,
    (group) => {
      const acc = 100 * share(each(group));
      const accPlus = 100 * share(allOf(group, ({ pair }) => pair));
      return { acc, accPlus, score: acc + accPlus, questions: group.length };
    },
  );
}

/** The sum over the categories of one half that are there: at most 2000 for perception, 800 for cognition. */
export function mmeHalf(categories: Readonly<Record<string, MmeCategory>>, half: MmeHalf): number {
  return MME_CATEGORIES[half].reduce((sum, category) => sum + (categories[category]?.score ?? 0), 0);
}

/** A sum of points over `divisor`, as parts: 28 brings perception and cognition to 0..100, 20 perception alone. */
export function mmeParts(items: readonly MmeItem[], halves: readonly MmeHalf[], divisor: number): Part[] {
  const byCategory = groupBy(items, ({ category }) => category);
  return halves
    .flatMap((half): readonly string[] => MME_CATEGORIES[half])
    .flatMap((category) => {
      const group = byCategory.get(category) ?? [];
      const scale = 100 / divisor;
      return [
        { scale, units: each(group) },
        { scale, units: allOf(group, ({ pair }) => pair) },
      ];
    });
}
