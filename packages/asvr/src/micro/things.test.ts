import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import { KIND_NAMES, SUBGROUPS, THINGS } from "./things.js";

const require = createRequire(import.meta.url);
const emoji = require("emojibase-data/en/data.json") as { label: string; subgroup?: number }[];
const { subgroups } = require("emojibase-data/meta/groups.json") as { subgroups: Record<string, string> };
const subgroupOf = new Map(emoji.map(({ label, subgroup }) => [label, subgroups[String(subgroup)]]));
const { standard, rich } = THINGS;

describe.each(Object.values(THINGS))("the $name things", ({ kinds, concepts, common, kindOf }) => {
  test("are CLDR labels of one word, in a CLDR subgroup of their kind", () => {
    for (const kind of KIND_NAMES) {
      for (const concept of kinds[kind]) {
        expect(SUBGROUPS[kind], concept).toContain(subgroupOf.get(concept));
        expect(kindOf(concept)).toBe(kind);
      }
    }
    expect(concepts.filter((concept) => !/^[a-z-]+$/.test(concept))).toEqual([]);
    expect(new Set(concepts).size).toBe(concepts.length);
  });

  test("are common for a quarter", () => {
    expect(common.length / concepts.length).toBeCloseTo(0.25, 2);
    for (const kind of KIND_NAMES) expect(common).toEqual(expect.arrayContaining(kinds[kind].slice(0, 2)));
  });
});

test("a kind's name is a word of each of its CLDR subgroups, and no concept's", () => {
  for (const kind of KIND_NAMES) {
    for (const subgroup of SUBGROUPS[kind]) expect(subgroup.split("-")).toContain(kind);
    expect(rich.concepts).not.toContain(kind);
  }
});

test("there are eight standard things of each kind, and the rich ones begin with them", () => {
  for (const kind of KIND_NAMES) {
    expect(standard.kinds[kind]).toHaveLength(8);
    expect(rich.kinds[kind].slice(0, 8)).toEqual(standard.kinds[kind]);
  }
  expect(rich.concepts).toHaveLength(119);
});
