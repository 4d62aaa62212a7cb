import { expect, test } from "vitest";
import { lmmsLetterMmbench } from "./choices.js";

const choices = { A: "red", B: "blue", C: "green" };

test("lmms-eval reads MMBench's letter in forms that only its shared extractor knows", () => {
  for (const said of ["**B**", "[B]", "\\boxed{B}", "$\\boxed{\\text{B}}$"]) {
    expect(lmmsLetterMmbench(said, choices)).toBe("B");
  }
  expect(lmmsLetterMmbench("", choices)).toBeUndefined();
  expect(lmmsLetterMmbench("none of them", choices)).toBeUndefined();
});

test("an A in a sentence may be an article: the option that is mentioned goes before it", () => {
  expect(lmmsLetterMmbench("A", choices)).toBe("A");
  expect(lmmsLetterMmbench("A green thing there", choices)).toBe("C");
});
