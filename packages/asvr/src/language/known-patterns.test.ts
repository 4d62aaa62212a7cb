import { expect, test } from "vitest";
import { isCompilable, knownPatterns } from "./known-patterns.js";

test.each([...knownPatterns])("a known pattern takes as long as a text is: %s", (pattern) => {
  const regex = new RegExp(pattern.replace(/\(\?i:([^)]*)\)/gu, "(?:$1)"), "gu");
  for (const unit of ["a", "A", "aA", " ", "\n", " \n", "1", "漢", "!", "'s"]) {
    const start = performance.now();
    expect(unit.repeat(100_000).replace(regex, "").length).toBeLessThanOrEqual(unit.length * 100_000);
    expect(performance.now() - start).toBeLessThan(5000);
  }
});

test("patterns that are as published ones are compiled, whatever their classes hold", () => {
  for (const pattern of knownPatterns) expect(isCompilable(`${pattern}|x`)).toBe(true);
  expect(isCompilable("[?*+{]{2}\\?\\?".repeat(24))).toBe(true);
  expect(isCompilable("a?".repeat(25))).toBe(false);
  expect(isCompilable("(a?b){3}")).toBe(false);
});
