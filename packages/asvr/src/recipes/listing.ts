import type { Scale } from "./baselines.js";
import { type Ingredients, ingredientsOf, missingFor } from "./missing.js";
import type { Difference, Recipe } from "./recipe.js";
import { recipeOf, rowNotes, rowOf, scalesOf, tableNamed, tableNames } from "./tables.js";

/** What there is to say of a recipe. */
export interface ListedRecipe {
  /** `tableN/ROW` */
  name: string;
  title: string;
  table: string;
  source: string;
  /** Scales at which it is expressed, and those of them at which it runs. */
  scales: Scale[];
  runnable: Scale[];
  /** The recipe that it is derived from; null: the baseline of the scale. */
  from: string | null;
  /** By scale, how it differs from that one. */
  difference: Partial<Record<Scale, Difference>>;
  /** The row that it is compared with, where that is not `llava`. */
  against: string | null;
  /** Records and published weights at the paper's scale. */
  ingredients: Ingredients;
  /** By scale, what this version lacks. */
  missing: Partial<Record<Scale, string[]>>;
  /** Why it is not at other scales. */
  lacking: string | null;
}

/** Every recipe, table by table. */
export function listRecipes(): ListedRecipe[] {
  return tableNames.flatMap((table) => Object.keys(tableNamed(table).rows).map((row) => describe(table, row)));
}

function describe(table: string, row: string): ListedRecipe {
  const { from, at } = rowOf(table, row);
  const scales = scalesOf(table, row);
  const recipes = new Map(scales.map((scale): [Scale, Recipe] => [scale, recipeOf(table, row, scale)]));
  const missing = scales.map((scale): [Scale, string[]] => [scale, missingFor(recipes.get(scale)!)]);
  const paper = recipes.get("paper")!; // every row is one of the paper's, or has its like there
  return {
    name: paper.name,
    title: paper.title,
    table,
    source: paper.source,
    scales,
    runnable: missing.flatMap(([scale, what]) => (what.length === 0 ? [scale] : [])),
    from: from ?? null,
    difference: Object.fromEntries(scales.map((scale) => [scale, at[scale]!.change])),
    against: rowNotes(table, row).against ?? null,
    ingredients: ingredientsOf(paper),
    missing: Object.fromEntries(missing.filter(([, what]) => what.length > 0)),
    lacking: scales.length < 3 ? (tableNamed(table).lacking ?? null) : null,
  };
}
