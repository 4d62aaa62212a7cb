import { ConfigError } from "../errors.js";
import { baselines } from "./baselines.js";
import type { Recipe, Stage } from "./recipe.js";
import { recipeNamed } from "./tables.js";

/** A scene of the micro world has two by two cells. */
const CELLS_A_SIDE = 2;

/** Templates whose special words each scale's language model has as tokens; `plain` has none. */
const templatesOf = {
  micro: ["plain", "v1", "micro"],
  small: ["plain", "smollm2"],
  paper: ["plain", "v1"],
} as const satisfies Record<Recipe["scale"], readonly Stage["template"][]>;

/** Settings that each are right and together can't work, or would be passed over. @throws ConfigError that names all */
export function requireConsistent(recipe: Recipe): void {
  const { name, scale, stages, supervision, data } = recipe;
  const isOwn = data.captions !== null || data.tuning !== null;
  const problems = [
    data.images !== null && !isOwn && "data.images is set, but neither data.tuning nor data.captions is",
    data.share !== undefined && isOwn && "data.share is a share of the study's pictures, not of data of your own",
    ...layerProblems(recipe),
    ...(scale === "paper" ? [] : trainedHereProblems(recipe)),
  ];
  for (const [of, stage] of Object.entries(stages)) {
    const { template, dataset, supervised, trainable, groups = {} } = stage;
    const known: readonly string[] = templatesOf[scale];
    const hasHead = supervision.kind !== "none" && supervised;
    const learned: readonly string[] = trainable.filter((part) => part !== "visualHead" || hasHead);
    const idle = Object.keys(groups).filter((part) => !learned.includes(part));
    problems.push(
      !known.includes(template) &&
        `stages.${of}.template is ${template}, but the language model of scale ${scale} knows ${known.join(", ")}`,
      dataset !== undefined &&
        scale !== "paper" &&
        `stages.${of}.dataset names published records, which are of scale paper: set data.captions or data.tuning`,
      trainable.every((part) => part === "visualHead") &&
        !hasHead &&
        `stages.${of}.trainable is visualHead alone, but this stage has none: nothing would be trained`,
      idle.length > 0 &&
        `stages.${of}.groups has ${idle.join(", ")}, which this stage does not train: it trains ${learned.join(", ")}`,
    );
  }
  const found = problems.filter((problem) => typeof problem === "string");
  if (found.length > 0) throw new ConfigError(`${name}: ${found.join("; ")}`);
}

/** Hidden states that the encoder does not have. */
function layerProblems({ encoder, tokenizers }: Recipe): string[] {
  const count = encoder.numHiddenLayers;
  const chosen = {
    "encoder.selectLayer": encoder.selectLayer,
    "tokenizers.semantic.layer": tokenizers.semantic.layer,
    "tokenizers.appearance.layer": tokenizers.appearance.layer,
  };
  return Object.entries(chosen)
    .filter(([, layer]) => layer > count || layer < -count - 1)
    .map(
      ([path, layer]) =>
        `${path} is ${layer}, but an encoder of ${count} layers has the hidden states 0 (its input) to ${count}, ` +
        `or, from the end, -1 to ${-count - 1}`,
    );
}

/** Settings that a study, which trains its own encoder and language model on pictures of its own, can't follow. */
function trainedHereProblems({ name, scale, encoder, tokenizers, language }: Recipe): (string | false)[] {
  const usual = baselines[scale].encoder;
  const cell = usual.imageSize / CELLS_A_SIDE;
  const { backbone } = recipeNamed(name, scale).language;
  return [
    encoder.checkpoint !== undefined &&
      "encoder.checkpoint names published weights, which are of scale paper: here the study trains the encoder",
    tokenizers.semantic.checkpoint !== undefined &&
      "tokenizers.semantic.checkpoint names published weights, which are of scale paper: here the study trains it",
    language.backbone !== backbone &&
      "language.backbone names a published language model, which is of scale paper: here the study has its own",
    encoder.imageSize !== usual.imageSize &&
      `encoder.imageSize is ${encoder.imageSize}, but the pictures of the study have ${usual.imageSize}`,
    cell % encoder.patchSize !== 0 &&
      `encoder.patchSize is ${encoder.patchSize}, but patches must fill a cell of the study's pictures, ${cell} pixels wide`,
  ];
}
