import { ConfigError } from "../errors.js";
import type { Recipe, Stage } from "./recipe.js";

/** Templates whose special words each scale's language model has as tokens; `plain` has none. */
const templatesOf = {
  micro: ["plain", "v1", "micro"],
  small: ["plain", "smollm2"],
  paper: ["plain", "v1"],
} as const satisfies Record<Recipe["scale"], readonly Stage["template"][]>;

/** Settings that each are right and together can't work, or would be passed over. @throws ConfigError that names all */
export function requireConsistent({ name, scale, stages, supervision, data }: Recipe): void {
  const isOwn = data.captions !== null || data.tuning !== null;
  const problems = [
    data.images !== null && !isOwn && "data.images is set, but neither data.tuning nor data.captions is",
    data.share !== undefined && isOwn && "data.share is a share of the study's pictures, not of data of your own",
  ];
  for (const [of, stage] of Object.entries(stages)) {
    const { template, dataset, supervised, trainable } = stage;
    const known: readonly string[] = templatesOf[scale];
    const hasHead = supervision.kind !== "none" && supervised;
    problems.push(
      !known.includes(template) &&
        `stages.${of}.template is ${template}, but the language model of scale ${scale} knows ${known.join(", ")}`,
      dataset !== undefined &&
        scale !== "paper" &&
        `stages.${of}.dataset names published records, which are of scale paper: set data.captions or data.tuning`,
      trainable.every((part) => part === "visualHead") &&
        !hasHead &&
        `stages.${of}.trainable is visualHead alone, but this stage has none: nothing would be trained`,
    );
  }
  const found = problems.filter((problem) => typeof problem === "string");
  if (found.length > 0) throw new ConfigError(`${name}: ${found.join("; ")}`);
}
