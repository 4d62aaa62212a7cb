import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { requireConsistent } from "./consistent.js";
import { defineRecipe, derive, override, type RecipeInput } from "./recipe.js";
import { allRows } from "./table1.js";
import { recipeNamed, recipeOf, rowNotes } from "./tables.js";

const base = recipeOf("table1", "asvr", "micro");

test("a derived recipe differs where it says so, and the base stays as it was", () => {
  const copy = structuredClone(base);
  const other = derive(base, {
    name: "table1/other",
    stages: { tuning: { learningRate: 5e-4, trainable: ["language"] } },
  });
  expect(other).toEqual({
    ...base,
    name: "table1/other",
    stages: { ...base.stages, tuning: { ...base.stages.tuning, learningRate: 5e-4, trainable: ["language"] } },
  });
  expect(base).toEqual(copy);
  expect(derive(base, {})).toEqual(base);
  expect(derive(base, { seed: undefined })).toEqual(base);
});

test("what is left out has the authors' setting", () => {
  const { warmupRatio, betas, weightDecay, maxGradNorm, supervised, ...stage } = base.stages.tuning;
  const { ropeTheta, rmsNormEps, ...language } = base.language;
  const recipe = defineRecipe({ ...base, language, stages: { ...base.stages, tuning: stage } });
  expect(recipe.stages.tuning).toMatchObject({
    warmupRatio: 0.03,
    betas: [0.9, 0.999],
    weightDecay: 0,
    maxGradNorm: 1,
    supervised: true,
  });
  expect(recipe.language).toMatchObject({ ropeTheta: 10_000, rmsNormEps: 1e-5 });
});

test("every wrong setting is named", () => {
  const wrong = {
    ...base,
    seed: -1,
    supervision: { ...base.supervision, kind: "magic" },
    stages: { ...base.stages, tuning: { ...base.stages.tuning, batchSize: 2.5 } },
  } as unknown as RecipeInput;
  expect(() => defineRecipe(wrong)).toThrow(ConfigError);
  expect(() => defineRecipe(wrong)).toThrow(
    /^recipe "table1\/asvr": (?=.*supervision\.kind: )(?=.*stages\.tuning\.batchSize: )(?=.*seed: )/,
  );
  expect(() => derive(base, { name: "nameless" })).toThrow(/recipe "nameless": name: /);
});

test("a setting that there is not is an error, not passed over", () => {
  const unknown = { ...base, stages: { ...base.stages, tuning: { ...base.stages.tuning, learnigRate: 1 } } };
  expect(() => defineRecipe(unknown as RecipeInput)).toThrow(/stages\.tuning: .*"learnigRate"/);
});

test("one setting is overridden by its path", () => {
  expect(override(base, "stages.tuning.steps=400")).toEqual(derive(base, { stages: { tuning: { steps: 400 } } }));
  expect(override(base, "supervision.kind=dual").supervision).toEqual({ ...base.supervision, kind: "dual" });
  expect(override(base, "stages.pretraining.supervised=false").stages.pretraining.supervised).toBe(false);
  expect(override(base, 'stages.tuning.trainable=["projector"]').stages.tuning.trainable).toEqual(["projector"]);
  expect(override(base, 'supervision={"weight":2}').supervision).toEqual({ ...base.supervision, weight: 2 });
  expect(override(base, "title=a = b").title).toBe("a = b");
  // What the schema has and this recipe has not.
  expect(override(base, "language.backbone=mistral-7b").language.backbone).toBe("mistral-7b");
  expect(override(base, "data.share=0.5").data.share).toBe(0.5);
  expect(override(base, "encoder.tilesAside=2").encoder.tilesAside).toBe(2);
  const slower = override(base, "stages.tuning.groups.projector.learningRate=2e-5").stages.tuning;
  expect(slower.groups).toEqual({ projector: { learningRate: 2e-5 } });
});

test("settings of a part that its stage does not train are refused before anything is", () => {
  const withGroup = (assignment: string) => override(override(base, "supervision.kind=none"), assignment);
  expect(() => requireConsistent(withGroup("stages.tuning.groups.projector.learningRate=2e-5"))).not.toThrow();
  expect(() => requireConsistent(withGroup("stages.pretraining.groups.language.weightDecay=0.1"))).toThrow(
    /stages\.pretraining\.groups has language, which this stage does not train: it trains projector$/,
  );
  expect(() => requireConsistent(withGroup("stages.tuning.groups.visualHead.learningRate=1e-4"))).toThrow(
    /stages\.tuning\.groups has visualHead, which this stage does not train: it trains projector, language$/,
  );
});

test.each([
  ["stages.tuning.step=4", /--set stages\.tuning\.step: stages\.tuning has no "step"; it has .*steps/],
  ["stage.tuning=4", /the recipe has no "stage"; it has name, title/],
  ["seed.deep=4", /seed has no "deep"; it has nothing/],
  ["stages.toString=4", /stages has no "toString"; it has pretraining, middle, tuning/],
  ["stages.tuning.trainable.length=4", /trainable has no "length"/],
  ["seed", /--set seed: write it as path=value/],
  ["=4", /write it as path=value/],
  ["stages.tuning.steps=many", /stages\.tuning\.steps: /],
  ["stages.tuning.steps=0", /stages\.tuning\.steps: /],
  [
    "stages.tuning.groups.encoder.learningRate=1",
    /stages\.tuning\.groups has no "encoder"; it has projector, visualHead, /,
  ],
])("--set %s says what is wrong", (assignment, message) => {
  expect(() => override(base, assignment)).toThrow(ConfigError);
  expect(() => override(base, assignment)).toThrow(message);
});

test("every row of Table 1 is a recipe at both scales", () => {
  for (const row of allRows) {
    for (const scale of ["micro", "paper"] as const) {
      expect(recipeOf("table1", row, scale)).toMatchObject({ name: `table1/${row}`, scale });
    }
    expect(recipeNamed(`micro/${row}`, "paper")).toEqual(recipeOf("table1", row, "micro"));
    expect(recipeNamed(`table1/${row}`, "paper")).toEqual(recipeOf("table1", row, "paper"));
  }
  expect(rowNotes("table1", "control")).toEqual({ role: "control", note: undefined });
  expect(recipeOf("table1", "asvr-tuning-only", "paper").stages.pretraining.supervised).toBe(false);
});

test("a name that is no recipe lists those that are", () => {
  expect(() => recipeNamed("table5/asvr", "micro")).toThrow(/"table5\/asvr".*tableN\/ROW/);
  expect(() => recipeNamed("table1/asvrr", "micro")).toThrow(/no row "asvrr"; it has llava, /);
  expect(() => recipeNamed("table1/toString", "micro")).toThrow(/no row "toString"/);
});
