import { ConfigError } from "../errors.js";
import { type StudySettings, studyRecipe } from "../parts/settings.js";
import { readRecipe, type Start } from "../parts/start.js";
import { describeDifferences, differences } from "../recipes/differences.js";
import type { Recipe } from "../recipes/recipe.js";

/**
 * Refuses settings that what a training starts from can't have. A study makes whatever parts a recipe asks for, but a
 * published language model has its sizes, and a run's model reads what it was trained on.
 * @throws ConfigError that names every such setting
 */
export async function requireMatchingRun(
  recipe: Recipe,
  { study, run }: Start,
  settings: StudySettings,
): Promise<void> {
  if ("published" in settings.languageModel) {
    const { language } = studyRecipe(settings);
    refuse(`the study ${study} has a published language model`, differences(language, recipe.language, "language"));
  }
  if (run === null) return;
  const begun = await readRecipe(run);
  const hasItsHead = recipe.supervision.kind !== "none" && begun.supervision.kind === recipe.supervision.kind;
  refuse(`the run ${run} was trained with other parts`, [
    ...differences(begun.encoder, recipe.encoder, "encoder"),
    ...differences(begun.tokenizers, recipe.tokenizers, "tokenizers"),
    ...differences(begun.language, recipe.language, "language"),
    ...(hasItsHead ? differences(begun.visualHead, recipe.visualHead, "visualHead") : []),
  ]);
}

function refuse(why: string, found: ReturnType<typeof differences>): void {
  if (found.length === 0) return;
  throw new ConfigError(
    `startFrom: ${why}: ${describeDifferences(found)}. Its weights can't be used with these settings.`,
  );
}
