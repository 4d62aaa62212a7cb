import { expect, test } from "vitest";
import { isSimplePattern } from "./pattern-cost.js";
import { GPT2_PATTERN } from "./tokenizer-json.js";

test.each([
  GPT2_PATTERN,
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "[^\\r\\n\\p{L}]?[\\p{Lu}\\p{M}]*[\\p{Ll}\\p{M}]+(?i:'s|'t)?|\\p{N}{1,3}",
  "▁[^▁]*|[^▁]+",
  "[][]+|\\(+|\\[*",
])("as published ones are: %s", (pattern) => {
  expect(isSimplePattern(pattern)).toBe(true);
});

test.each([
  "(a+)+$",
  "(?:a|a)*b",
  "(.*)*x",
  "a*a*a*b",
  "((a))*",
  "(?:x|a*)(?:y|a*)(?:z|a*)b",
  "(?=(a+))*",
  "(?:a){2,}",
])("to be watched: %s", (pattern) => {
  expect(isSimplePattern(pattern)).toBe(false);
});

test("what is too long to be looked through is watched, without looking", () => {
  expect(isSimplePattern("[".repeat(1e6))).toBe(false);
});
