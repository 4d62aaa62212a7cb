import { expect, test } from "vitest";
import type { Prediction } from "../runs/run-folder.js";
import { compareRecords, scoreRecords } from "./record-scores.js";

let count = 0;
const answered = (question: string, answer: string, changes: Partial<Prediction> = {}): Prediction => ({
  ...{ id: `q${count++}`, image: "a.png", type: "", group: "", question, answer, prediction: "", correct: false },
  ...changes,
});

test("questions without a picture are counted as such, and are no pictures", () => {
  const predictions = [
    answered("What?", "cat"),
    answered("What?", "cat", { image: "b.png" }),
    answered("Why?", "so", { image: "" }),
    answered("How?", "so", { image: "", refused: "too long" }),
  ];
  const scores = scoreRecords(predictions);
  expect(scores).toMatchObject({ questions: 4, pictures: 2, withoutPicture: 2, refused: 1 });
});

test("two floors: the commonest answer of all, and the commonest to each wording", () => {
  const predictions = [
    ...["red", "red", "Red ", "blue"].map((answer) => answered("what color ?", answer)),
    ...["two", "two", "one"].map((answer) => answered("how many ?", answer)),
    answered("what is it ?", "owl"), // once: whoever only reads can but guess
  ];
  const { mostFrequent, mostFrequentByQuestion } = scoreRecords(predictions);
  expect(mostFrequent).toEqual({ answer: "red", exactMatch: 37.5 });
  expect(mostFrequentByQuestion).toEqual({ wordings: 3, exactMatch: 62.5 });
});

test("two models are compared on the questions that both were asked, picture by picture", () => {
  const ours = Array.from({ length: 40 }, (_, at) =>
    answered("What?", "x", { id: `${at}`, image: `${at % 20}.png`, correct: at % 4 !== 0 }),
  );
  const theirs = ours.slice(0, 39).map((one) => ({ ...one, correct: Number(one.id) % 4 === 1 }));
  const found = compareRecords(ours, [...theirs, answered("Else?", "y")]);
  expect(found.questions).toBe(39);
  expect(found.exactMatch).toBeCloseTo((100 * 29) / 39, 10);
  expect(found.baselineExactMatch).toBeCloseTo((100 * 10) / 39, 10);
  expect(found.difference).toBeCloseTo(found.exactMatch - found.baselineExactMatch, 10);
  expect(found.interval[0]).toBeGreaterThan(0);
  expect(found.interval[0]).toBeLessThan(found.difference);
  expect(found.interval[1]).toBeGreaterThan(found.difference);
  expect(found.p).toBeLessThan(0.01);
  expect(compareRecords(ours, ours)).toMatchObject({ difference: 0, interval: [0, 0], p: 1 });
  expect(() => compareRecords(ours, [answered("Else?", "y")])).toThrow("no question in common");
});
