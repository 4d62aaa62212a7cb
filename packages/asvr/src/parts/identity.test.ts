import fc from "fast-check";
import { expect, test } from "vitest";
import { baselines } from "../recipes/baselines.js";
import type { Recipe } from "../recipes/recipe.js";
import { recipeOf } from "../recipes/tables.js";
import { hashOfValue, type PartKind, partsOf } from "./identity.js";

const recipe = recipeOf("table1", "asvr", "micro");

/** Which parts a setting belongs to, by how its path begins; the first that fits counts. */
const readers: [path: RegExp, kinds: PartKind[]][] = [
  [/^encoder\.selectLayer$/, ["codes"]],
  [/^encoder\./, ["encoder", "tokenizers", "codes"]],
  [/^tokenizers\./, ["tokenizers", "codes"]],
  [/^language\./, ["languageModel"]],
  [/./, []],
];

function paths(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [path];
  return Object.entries(value).flatMap(([key, inner]) => paths(inner, [...path, key]));
}

/** The recipe with another value at a path, of the same type. */
function changed(value: unknown, path: readonly string[], by: number): unknown {
  if (path.length === 0) {
    if (typeof value === "number") return value + by;
    return typeof value === "boolean" ? !value : `${value}${by}`;
  }
  const [key, ...rest] = path;
  if (Array.isArray(value)) return value.map((item, at) => (String(at) === key ? changed(item, rest, by) : item));
  const held = value as Record<string, unknown>;
  return { ...held, [key!]: changed(held[key!], rest, by) };
}

test("changing any one setting of a recipe renames the parts that read it, and no other", () => {
  const before = partsOf(recipe);
  const settings = paths(recipe).filter(([first]) => first !== "scale"); // a study has one scale
  expect(settings.length).toBeGreaterThan(60);
  fc.assert(
    fc.property(fc.constantFrom(...settings), fc.integer({ min: 1, max: 9 }), (path, by) => {
      const after = partsOf(changed(recipe, path, by) as Recipe);
      const renamed = (Object.keys(before) as PartKind[]).filter((kind) => before[kind] !== after[kind]);
      const [, expected] = readers.find(([pattern]) => pattern.test(path.join(".")))!;
      expect(renamed.sort(), path.join(".")).toEqual([...expected].sort());
    }),
    { numRuns: 400 },
  );
});

test("two values of a setting give two names, and the baseline's the plain ones", () => {
  const withLayer = (layer: number) => ({ ...recipe, encoder: { ...recipe.encoder, selectLayer: layer } });
  const names = [-1, -2, -3, -4].map((layer) => partsOf(withLayer(layer)).codes);
  expect(new Set(names).size).toBe(4);
  expect(names[1]).toBe("codes");
  for (const scale of ["micro", "small"] as const) {
    expect(Object.values(partsOf(baselines[scale]))).toEqual(["encoder", "text-lm", "tokenizers", "codes"]);
  }
});

test("a setting that is new and at its default renames nothing", () => {
  const language = { ...recipe.language, backbone: undefined };
  expect(partsOf({ ...recipe, language })).toEqual(partsOf(recipe));
});

test("the hash of a value does not depend on the order of its keys, but on everything else", () => {
  expect(hashOfValue({ a: 1, b: { c: [1, 2], d: null } })).toBe(hashOfValue({ b: { d: null, c: [1, 2] }, a: 1 }));
  expect(hashOfValue({ a: [1, 2] })).not.toBe(hashOfValue({ a: [2, 1] }));
  expect(hashOfValue({ a: null })).not.toBe(hashOfValue({}));
  expect(hashOfValue({ a: undefined })).toBe(hashOfValue({}));
});
