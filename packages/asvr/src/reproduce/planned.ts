import { createHash } from "node:crypto";
import { ingredientsOf, missingFor } from "../recipes/missing.js";
import { derive, type Recipe } from "../recipes/recipe.js";
import { readPart } from "./parts/part.js";
import { planStudy } from "./plan.js";
import type { StudySettings } from "./settings.js";

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
  const steps = new Map<string, PlannedStep>();
  const add = (name: string, what: string, needs: string[], missing: string[]) => {
    if (!steps.has(name)) steps.set(name, { name, what, needs, state: "missing", missing });
    return name;
  };
  for (const recipe of recipes) {
    const { data, checkpoints } = ingredientsOf(recipe);
    const lacking = missingFor(recipe);
    const given = checkpoints.map((name) => add(`checkpoint ${name}`, "published weights", [], ["not fetched"]));
    const records = data.map((name) => add(`data ${name}`, "records and pictures", [], ["not fetched"]));
    const codes = records.map((name) =>
      add(
        `codes ${name.slice("data ".length)} ${fingerprintOf(seenBy(recipe))}`,
        codesOf(recipe),
        [name, ...given],
        lacking,
      ),
    );
    for (const seed of seeds) addStages(derive(recipe, { seed }), [...given, ...codes]);
  }
  return [...steps.values()];

  function addStages(recipe: Recipe, made: string[]): void {
    const missing = missingFor(recipe);
    const { pretraining, middle, tuning } = recipe.stages;
    const { name: _, title: __, source: ___, ...own } = recipe;
    const { middle: ____, tuning: _____, ...first } = own.stages;
    const describe = ({ dataset, steps, batchSize, learningRate, trainable }: typeof tuning) =>
      `${steps} steps of ${batchSize} from ${dataset}, learning rate ${learningRate}, trains ${trainable.join(", ")}`;
    const suffix = recipe.seed === 0 && seeds.length === 1 ? "" : ` seed ${recipe.seed}`;
    // Rows that differ in later stages alone have this one in common.
    const shared = `pretraining ${fingerprintOf({ ...own, stages: first })}`;
    let last = add(shared, `${describe(pretraining)}; ${supervised(recipe, pretraining)}`, made, missing);
    if (middle) last = add(`${recipe.name} middle${suffix}`, describe(middle), [last], missing);
    const tuned = add(
      `${recipe.name} tuning${suffix}`,
      `${describe(tuning)}; ${supervised(recipe, tuning)}`,
      [last],
      missing,
    );
    add(`${recipe.name} evaluation${suffix}`, "the 14 benchmarks", [tuned], missing);
  }
}

/** What features and codes of a picture depend on. */
function seenBy({ encoder, tokenizers, visualInput, supervision: { kind, denoises } }: Recipe): unknown {
  return kind === "none" && visualInput === "continuous" ? encoder : { encoder, tokenizers, kind, denoises };
}

function codesOf({ encoder, supervision, tokenizers, visualInput }: Recipe): string {
  const codes =
    supervision.kind === "none" && visualInput === "continuous"
      ? ""
      : ` and codes of ${tokenizers.semantic.checkpoint}`;
  return `features of ${encoder.checkpoint}${encoder.tilesAside ? `, tiles ${encoder.tilesAside} x ${encoder.tilesAside}` : ""}${codes}, once`;
}

function supervised({ supervision: { kind } }: Recipe, stage: { supervised: boolean }): string {
  return kind === "none" || !stage.supervised ? "text loss" : `text loss and ${kind}`;
}

function fingerprintOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 6);
}
