import { expect, test } from "vitest";
import { isGiven, mmvpOptions, parsePythonList } from "./options.js";

test("MMVP's options stand behind their marks", () => {
  expect(mmvpOptions("(a) Open (b) Closed")).toEqual(["Open", "Closed"]);
  expect(mmvpOptions("(a) Yes(b) No")).toEqual(["Yes", "No"]);
});

test("Python's list literals are read, apostrophes and escapes included", () => {
  const lists: [string, string[] | undefined][] = [
    ["['a', 'b']", ["a", "b"]],
    [`["Newton's law", 'b']`, ["Newton's law", "b"]],
    [String.raw`['it\'s', 'a\\b', '\u00e9\n']`, ["it's", String.raw`a\b`, "é\n"]],
    [String.raw`['\alpha \theta']`, ["\x07lpha \theta"]],
    ["['a', 'b, ]', 'c',]", ["a", "b, ]", "c"]],
    ["[1, 2.5, 'x']", ["1", "2.5", "x"]],
    ["[]", []],
    [" [ ] ", []],
    ["['a'", undefined],
    ["['a' 'b']", undefined],
    ["no list", undefined],
    ["", undefined],
  ];
  for (const [text, want] of lists) expect([text, parsePythonList(text)]).toEqual([text, want]);
});

test("null, nothing and nan are absent", () => {
  expect([null, undefined, "", "nan", "Nan", " "].map(isGiven)).toEqual([false, false, false, false, true, true]);
});
