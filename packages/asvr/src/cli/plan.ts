import { settingsSchema } from "../parts/settings.js";
import type { Scale } from "../recipes/baselines.js";
import { recipeOf, scalesOf, tableNamed, tableNames } from "../recipes/tables.js";
import { type PlannedStep, plannedPaper, plannedStudy } from "../studies/planned.js";
import { printJson } from "./options.js";
import { print } from "./printable.js";
import { folderOf, type ReproduceOptions, resolveSettings, studyTables } from "./reproduce.js";

interface Plan {
  table: string;
  scale: Scale;
  /** Where it would run. */
  folder: string | null;
  steps: PlannedStep[];
}

/** Shows what `asvr reproduce` would do, and does nothing. */
export async function plan(table: string, scale: Scale, options: ReproduceOptions): Promise<void> {
  const plans = scale === "paper" ? [paperPlan(table, options)] : await studyPlans(table, scale, options);
  if (options.json) printJson(table === "all" && scale !== "paper" ? plans : plans[0]);
  else print(plans.map(rendered).join("\n"));
}

async function studyPlans(table: string, scale: Scale, options: ReproduceOptions): Promise<Plan[]> {
  const plans: Plan[] = [];
  for (const one of studyTables(table, options)) {
    const folder = folderOf(one, options, table === "all");
    const settings = settingsSchema.parse(await resolveSettings(one, options, folder));
    plans.push({ table: one, scale, folder, steps: await plannedStudy(folder, settings) });
  }
  return plans;
}

function paperPlan(table: string, { rows, seeds = 1 }: ReproduceOptions): Plan {
  const named = table === "all" ? tableNames : [table];
  const recipes = named.flatMap((one) => rowsOf(one, rows).map((row) => recipeOf(one, row, "paper")));
  const steps = plannedPaper(
    recipes,
    Array.from({ length: seeds }, (_, seed) => seed),
  );
  return { table, scale: "paper", folder: null, steps };
}

function rowsOf(table: string, rows: string | undefined): string[] {
  if (rows !== undefined && rows !== "all") return [...new Set(rows.split(",").map((row) => row.trim()))];
  return Object.keys(tableNamed(table).rows).filter((row) => scalesOf(table, row).includes("paper"));
}

function rendered({ table, scale, folder, steps }: Plan): string {
  const missing = [...new Set(steps.flatMap((step) => step.missing))].filter((what) => what !== "not fetched");
  const lines = steps.map(({ name, what, needs, state, missing }, index) => {
    const from =
      needs.length > 0
        ? ` <- ${needs.map((need) => 1 + steps.findIndex((step) => step.name === need)).join(", ")}`
        : "";
    return `${String(index + 1).padStart(4)}. [${missing.includes("not fetched") ? "not fetched" : state}] ${name}: ${what}${from}`;
  });
  return [
    `${table} at scale ${scale}${folder === null ? "" : ` in ${folder}`}: ${steps.length} steps, in this order; <- names the steps that one needs`,
    ...lines,
    ...(missing.length > 0 ? ["", "What is missing:", ...missing.map((what) => `  - ${what}`)] : []),
    "",
  ].join("\n");
}
