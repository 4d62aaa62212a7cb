import { expect, test } from "vitest";
import { formatTable, shown, shownSpread } from "./table.js";

test("columns are aligned, and short rows end early", () => {
  const table = formatTable([["step", "ms"], ["llava", "12.5"], ["mean"]]);
  expect(table.split("\n")).toEqual(["step      ms", "-----   ----", "llava   12.5", "mean"]);
});

test("numbers have three digits", () => {
  expect(shown(0.012345)).toBe("0.0123");
  expect(shown(1234.5)).toBe("1230");
  expect(shownSpread([0.5, 0.61111])).toBe("0.5 to 0.611");
});
