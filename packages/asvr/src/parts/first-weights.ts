import { existsSync } from "node:fs";
import { join } from "node:path";
import { F, noGrad, readSafetensors, type Tensor, tidy } from "@asvr/torch";
import { fillFromGguf } from "../checkpoints/gguf/language-model.js";
import { ConfigError } from "../errors.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import { relatives } from "../micro/vocabulary.js";
import type { VisionLanguageModel } from "../model/lvlm.js";
import type { Recipe } from "../recipes/recipe.js";
import { latestCheckpoint, useWeights } from "../training/checkpoint.js";
import { files, layout, partFolder } from "./layout.js";
import { readRecipe, startOf } from "./start.js";

/**
 * Fills a new model with what it begins with: the study's text-only language model, or all of the run that the recipe
 * starts from. Words that the text tokenizer got since begin with the embedding of their nearest relative.
 * @throws CheckpointError when the run's model has other sizes
 */
export async function loadFirstWeights(
  model: VisionLanguageModel,
  recipe: Recipe,
  { study, tokenizer }: { study: string; tokenizer: TextTokenizer },
): Promise<void> {
  const { run } = recipe.startFrom === null ? { run: null } : await startOf(recipe.startFrom);
  if (run === null) {
    const published = layout.publishedModel(study);
    if (existsSync(published)) fillFromGguf(model.language, published);
    else {
      tidy(() => {
        const { tensors } = readSafetensors(join(partFolder(study, recipe, "languageModel"), files.languageModel));
        model.language.load(withNewWords(tensors, model, tokenizer));
      });
    }
    return;
  }
  const saved = await latestCheckpoint(run);
  if (!saved) throw new ConfigError(`startFrom: ${run} has no checkpoint yet: train it first`);
  const begun = await readRecipe(run);
  await useWeights(saved.path, (weights) => {
    const under = (part: string) => weightsUnder(weights, `model.${part}.`);
    model.language.load(withNewWords(under("language"), model, tokenizer));
    model.projector.load(under("projector"));
    // A head for other codes learns from the beginning.
    if (begun.supervision.kind === recipe.supervision.kind) model.supervision?.load(under("supervision"));
  });
}

function weightsUnder(weights: ReadonlyMap<string, Tensor>, prefix: string): Map<string, Tensor> {
  return new Map(
    [...weights].flatMap(([name, tensor]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), tensor]] : [])),
  );
}

/** The weights with a row for every word of the tokenizer, where they were made for fewer. */
function withNewWords(
  weights: ReadonlyMap<string, Tensor>,
  model: VisionLanguageModel,
  tokenizer: TextTokenizer,
): Map<string, Tensor> {
  const extended = new Map(weights);
  const { language } = model;
  const tables = [
    ["model.embed_tokens.weight", language.model.embedTokens.weight],
    ["lm_head.weight", language.lmHead?.weight],
  ] as const;
  for (const [name, fresh] of tables) {
    const known = weights.get(name);
    if (!known || !fresh || known.size(0) >= fresh.size(0)) continue;
    const count = known.size(0);
    const rows = noGrad(() => F.cat([known, fresh.narrow(0, count, fresh.size(0) - count).detach()]));
    for (const [word, relative] of relatives(tokenizer.vocabulary, count)) {
      noGrad(() => rows.select(0, word).copy_(known.select(0, relative)));
    }
    extended.set(name, rows);
  }
  return extended;
}
