import { ConfigError } from "../errors.js";
import { partsOf } from "../parts/layout.js";
import { rowSettings, type StudySettings, studyRecipe } from "../parts/settings.js";
import { readRecipe, type Start } from "../parts/start.js";
import { describeDifferences, differences } from "../recipes/differences.js";
import type { Recipe } from "../recipes/recipe.js";
import { planStudy, sharedParts } from "./plan.js";

/**
 * A recipe can be trained from a study only with the parts that the study makes, and as it makes them: features, codes
 * and weights are kept by the part's name, not by its settings.
 * @throws ConfigError that names the part that the study has not, or every setting that its parts were not made with
 */
export async function requireMatchingParts(
  recipe: Recipe,
  { study, run }: Start,
  settings: StudySettings,
): Promise<void> {
  const made = planStudy(settings).map((part) => part.name);
  const lacking = sharedParts(recipe).filter((part) => !made.includes(part));
  if (lacking.length > 0) {
    throw new ConfigError(
      `${recipe.name} needs ${lacking.join(", ")}, which the study ${study} does not make: ` +
        "name another study with --set startFrom=FOLDER, or one that is made first",
    );
  }
  const rows = [studyRecipe(settings), ...settings.rows.map((row) => rowSettings(settings, row))];
  const madeFor = (kind: keyof ReturnType<typeof partsOf>) =>
    rows.find((row) => partsOf(row)[kind] === partsOf(recipe)[kind])!;
  const { encoder, language, tokenizers, visualHead, supervision } = recipe;
  refuse(study, "the study", [
    ...differences(rows[0]!.encoder, encoder, "encoder"),
    ...differences(madeFor("tokenizers").tokenizers, tokenizers, "tokenizers"),
    ...(run === null ? differences(madeFor("languageModel").language, language, "language") : []),
  ]);
  if (run === null) return;
  const begun = await readRecipe(run);
  const hasItsHead = supervision.kind !== "none" && begun.supervision.kind === supervision.kind;
  refuse(run, "the run", [
    ...differences(begun.language, language, "language"),
    ...(hasItsHead ? differences(begun.visualHead, visualHead, "visualHead") : []),
  ]);
}

function refuse(folder: string, what: string, found: ReturnType<typeof differences>): void {
  if (found.length === 0) return;
  throw new ConfigError(
    `startFrom: the parts of ${what} ${folder} were made with other settings: ${describeDifferences(found)}. ` +
      "They stay as they were made, so these settings can't be changed here.",
  );
}
