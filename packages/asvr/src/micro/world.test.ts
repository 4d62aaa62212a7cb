import { expect, test } from "vitest";
import { MICRO_LICENCES } from "./licences.js";
import { BACKGROUNDS, REGIONS } from "./world.js";

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
