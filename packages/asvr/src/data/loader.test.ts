import { expect, test } from "vitest";
import { chooseMembers, groupByImage, Sampler } from "./loader.js";
import type { Sample } from "./samples.js";

const options = { itemCount: 10, batchSize: 4, seed: 7 };

test("every epoch visits each item once, in its own order", () => {
  const sampler = new Sampler(options);
  const visits = Array.from({ length: 10 }, (_, step) => sampler.at(step)).flat(); // 40 visits: 4 epochs
  const epochs = [0, 1, 2, 3].map((epoch) => visits.filter((visit) => visit.epoch === epoch).map(({ item }) => item));
  for (const items of epochs) expect([...items].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(new Set(epochs.map(String)).size).toBe(4);
});

test("a step depends on its number alone", () => {
  const sampler = new Sampler(options);
  const forward = [0, 1, 2, 3, 4].map((step) => sampler.at(step));
  const resumed = new Sampler(options);
  expect([4, 2, 0, 3, 1].map((step) => resumed.at(step))).toEqual([4, 2, 0, 3, 1].map((step) => forward[step]));
  expect(new Sampler({ ...options, seed: 8 }).at(0)).not.toEqual(forward[0]);
});

test("without shuffling the order is the list's, and a batch reaches over the end", () => {
  const sampler = new Sampler({ ...options, shuffle: false });
  expect(sampler.at(2)).toEqual([
    { item: 8, epoch: 0 },
    { item: 9, epoch: 0 },
    { item: 0, epoch: 1 },
    { item: 1, epoch: 1 },
  ]);
  expect(sampler.stepsIn(1)).toBe(3);
  expect(sampler.stepsIn(2)).toBe(5);
});

test("sizes that make no batch are refused", () => {
  expect(() => new Sampler({ ...options, itemCount: 0 })).toThrow("itemCount is 0");
  expect(() => new Sampler({ ...options, batchSize: 1.5 })).toThrow("batchSize is 1.5");
});

test("samples are grouped by picture", () => {
  const keys = ["a", undefined, "b", "a", undefined, "b", "a"];
  const samples = keys.map((key, index): Sample => {
    const ids = Int32Array.of(1);
    return { id: `${index}`, inputIds: ids, labels: ids, ...(key && { image: { key } }) };
  });
  expect(groupByImage(samples)).toEqual([[0, 3, 6], [1], [2, 5], [4]]);
});

test("members of a group take turns", () => {
  const group = [5, 6, 7, 8, 9];
  const choose = (epoch: number) => chooseMembers(group, { item: 3, epoch, count: 2, seed: 1 });
  const chosen = [0, 1, 2, 3, 4].flatMap(choose); // 10 of 5: each twice
  expect([...chosen].sort()).toEqual([5, 5, 6, 6, 7, 7, 8, 8, 9, 9]);
  expect(choose(2)).toEqual(choose(2));
  expect(chooseMembers(group, { item: 3, epoch: 0, count: 5, seed: 1 })).toEqual(group);
});
