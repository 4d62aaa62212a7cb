import type { StudySettings } from "../parts/settings.js";
import { ingredientsOf, missingFor, readsAppearance, readsSemantic } from "../recipes/missing.js";
import { derive, type Recipe, type Stage } from "../recipes/recipe.js";
import { readPart } from "../runs/part-record.js";
import { planStudy } from "./plan.js";

/** One step of what a command would do. */
export interface PlannedStep {
  name: string;
  what: string;
  needs: string[];
  state: "done" | "begun" | "to do" | "other settings" | "missing";
  /** What this version or this machine lacks for it. */
  missing: string[];
}

/** The parts of a study, and how far its folder is. */
export async function plannedStudy(folder: string, settings: StudySettings): Promise<PlannedStep[]> {
  const steps: PlannedStep[] = [];
  for (const { name, output, needs, fingerprint } of planStudy(settings)) {
    const record = await readPart(folder, name);
    const isOther = record && record.fingerprint !== fingerprint;
    const state = !record ? "to do" : isOther ? "other settings" : record.state === "done" ? "done" : "begun";
    steps.push({ name, what: `makes ${output}`, needs: [...needs], state, missing: [] });
  }
  return steps;
}

/**
 * What the paper's rows would take: data and checkpoints, features and codes of their pictures, and the stages, those
 * that rows have in common once. Nothing of it runs here, and each step says why.
 */
export function plannedPaper(recipes: readonly Recipe[], seeds: readonly number[]): PlannedStep[] {
  const plan = new PaperPlan();
  for (const recipe of recipes) {
    for (const seed of seeds) plan.add(derive(recipe, { seed }), seeds.length > 1 ? ` seed ${seed}` : "");
  }
  return plan.steps;
}

class PaperPlan {
  readonly steps: PlannedStep[] = [];
  /** What a stage depends on -> its step. */
  readonly #stages = new Map<string, string>();

  add(recipe: Recipe, suffix: string): void {
    const { checkpoints } = ingredientsOf(recipe);
    const given = new Map(checkpoints.map((name) => [name, this.#given(`checkpoint ${name}`, "published weights")]));
    const missing = missingFor(recipe);
    const { name, title: _, source: __, stages, ...rest } = recipe;
    let done: unknown = rest;
    let last: string[] = [];
    // Equal stages after equal stages are one, whichever rows they are of.
    for (const kind of ["pretraining", "middle", "tuning"] as const) {
      const stage = stages[kind];
      if (!stage) continue;
      done = [done, stage];
      const key = JSON.stringify(done);
      const before = last.length > 0 ? last : [...given.values()];
      const known = this.#stages.get(key);
      const step =
        known ??
        this.#step(
          `${name} ${kind}${suffix}`,
          describe(recipe, stage),
          [...before, ...this.#pictures(recipe, stage.dataset!, given, missing)],
          missing,
        );
      this.#stages.set(key, step);
      last = [step];
    }
    this.#step(`${last[0]!.replace(" tuning", " evaluation")}`, "the 14 benchmarks", last, missing);
  }

  /** Features of a data set's pictures, and the codes that a recipe reads or predicts. */
  #pictures(recipe: Recipe, dataset: string, given: ReadonlyMap<string, string>, missing: string[]): string[] {
    const { encoder, tokenizers, supervision, visualInput } = recipe;
    const data = this.#given(`data ${dataset}`, "records and pictures");
    const [encoderStep, , ...others] = [...given.values()]; // the second is the language model, which sees no pixel
    const once = (name: string, by: string[]) => this.#step(name, "of each picture once", [data, ...by], missing);
    const tiles = encoder.tilesAside ? ` in ${encoder.tilesAside} x ${encoder.tilesAside} tiles and whole` : "";
    const of = `of ${dataset}${tiles}`;
    return [
      ...(visualInput === "continuous" ? [once(`features ${of} by ${encoder.checkpoint}`, [encoderStep!])] : []),
      ...(readsSemantic(recipe) ? [once(`codes ${of} by ${tokenizers.semantic.checkpoint}`, others)] : []),
      ...(readsAppearance(recipe) ? [once(`appearance codes ${of}`, others)] : []),
      ...(supervision.denoises === "vae" ? [once(`VAE features ${of}`, others)] : []),
    ];
  }

  #given(name: string, what: string): string {
    return this.#step(name, what, [], ["not fetched"]);
  }

  #step(name: string, what: string, needs: string[], missing: string[]): string {
    if (this.steps.every((step) => step.name !== name))
      this.steps.push({ name, what, needs, state: "missing", missing });
    return name;
  }
}

function describe({ supervision: { kind } }: Recipe, stage: Stage): string {
  const { steps, batchSize, dataset, learningRate, trainable, supervised } = stage;
  const losses = kind === "none" || !supervised ? "text loss" : `text loss and ${kind}`;
  return `${steps} steps of ${batchSize} from ${dataset}, learning rate ${learningRate}, ${losses}, trains ${trainable.join(", ")}`;
}
