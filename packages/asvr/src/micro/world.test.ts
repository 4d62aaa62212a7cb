import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { MICRO_LICENCES } from "./licences.js";
import { BACKGROUNDS, CONCEPTS, KIND_NAMES, KINDS, REGIONS } from "./world.js";

const require = createRequire(import.meta.url);
const emoji = require("emojibase-data/en/data.json") as { label: string; subgroup?: number }[];
const { subgroups } = require("emojibase-data/meta/groups.json") as { subgroups: Record<string, string> };

test("a concept is a CLDR label of one word, and lies in a CLDR subgroup of its kind", () => {
  const subgroupOf = new Map(emoji.map(({ label, subgroup }) => [label, subgroups[String(subgroup)]]));
  for (const kind of KIND_NAMES) {
    for (const concept of KINDS[kind].concepts) expect(KINDS[kind].subgroups).toContain(subgroupOf.get(concept));
  }
  expect(CONCEPTS).toHaveLength(48);
  expect(CONCEPTS.filter((concept) => /[^a-z]/.test(concept))).toEqual([]);
});

test("a kind's name is a word of each of its CLDR subgroups, and no concept's", () => {
  for (const kind of KIND_NAMES) {
    for (const subgroup of KINDS[kind].subgroups) expect(subgroup.split("-")).toContain(kind);
    expect(CONCEPTS).not.toContain(kind);
  }
});

test("two photographs share each background that is asked about", () => {
  for (const background of BACKGROUNDS) {
    const photographs = REGIONS.filter(({ shows }) => shows === background).map(({ photograph }) => photograph);
    expect(new Set(photographs).size).toBe(2);
  }
});

test("every licence names an installed version", () => {
  expect(MICRO_LICENCES).toHaveLength(13);
  for (const { version, attribution } of MICRO_LICENCES) {
    expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(attribution).not.toBe("");
  }
});
