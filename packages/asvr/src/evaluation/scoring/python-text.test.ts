import fc from "fast-check";
import { expect, test } from "vitest";
import { compareText, length, parseFloatPython, roundPython, strip, stripSigns, words } from "./python-text.js";

test("white space is Python's", () => {
  expect(strip("\x1c\x85\u3000a b\x1f")).toBe("a b");
  expect(strip("\ufeffa\ufeff")).toBe("\ufeffa\ufeff");
  expect(words(" a\x1db\u2028c ")).toEqual(["a", "b", "c"]);
  expect(words(" ")).toEqual([]);
  expect(stripSigns("..a.b.", ".")).toBe("a.b");
});

test("numbers are read as Python's float does", () => {
  const read: [string, number | undefined][] = [
    ["1_000.5", 1000.5],
    ["1__0", undefined],
    ["_1", undefined],
    ["5.", 5],
    [".5", 0.5],
    [".", undefined],
    ["+1e3", 1000],
    ["1e_3", undefined],
    ["\u3000-٣.٤ ", -3.4],
    ["1\x1c", undefined],
    [" \x1f1", undefined],
    ["1\x85", 1],
    ["１０", 10],
    ["𝟙𝟚", 12],
    ["1e400", Number.POSITIVE_INFINITY],
    ["-Infinity", Number.NEGATIVE_INFINITY],
    ["nan", Number.NaN],
    ["0x10", undefined],
    ["1,000", undefined],
    ["½", undefined],
    ["", undefined],
  ];
  for (const [text, value] of read) expect([text, parseFloatPython(text)]).toEqual([text, value]);
});

test("ties are rounded to the even digit, everything else from the exact value", () => {
  const rounded: [number, number, number][] = [
    [0.125, 2, 0.12],
    [0.375, 2, 0.38],
    [-0.125, 2, -0.12],
    [2.5, 0, 2],
    [3.5, 0, 4],
    [-2.5, 0, -2],
    [2.675, 2, 2.67],
    [1.005, 2, 1],
    [3.145, 2, 3.15],
    [0.000005, 5, 1e-5],
  ];
  for (const [value, places, want] of rounded) expect([value, roundPython(value, places)]).toEqual([value, want]);
});

test("rounding is within half a unit and changes nothing the second time", () => {
  fc.assert(
    fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.integer({ min: 0, max: 5 }), (value, places) => {
      const once = roundPython(value, places);
      expect(Math.abs(once - value)).toBeLessThanOrEqual(0.5 * 10 ** -places + 1e-9);
      expect(roundPython(once, places)).toBeCloseTo(once, 9);
    }),
  );
});

test("lengths and order go by code points", () => {
  expect(length("😀a")).toBe(2);
  expect(["😀", "\uff5e"].sort(compareText)).toEqual(["\uff5e", "😀"]);
  expect(["ab", "a"].sort(compareText)).toEqual(["a", "ab"]);
});
