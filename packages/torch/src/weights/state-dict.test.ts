import { expect, test } from "vitest";
import { PickledTensor, type PickleValue } from "./pickle-values.js";
import { findTensors } from "./state-dict.js";

const tensor = Object.create(PickledTensor.prototype) as PickledTensor; // only its class is looked at
const fail = (problem: string): never => {
  throw new Error(problem);
};
const tensorsUnder = (key: string, count: number): PickleValue =>
  new Map<PickleValue, PickleValue>([[key, new Map(Array.from({ length: count }, (_, at) => [String(at), tensor]))]]);

test("a long key is not spelled out for each tensor below it", () => {
  expect(() => findTensors(tensorsUnder("k".repeat(5_000_000), 200), "", fail)).toThrow(
    /a name in it has 5000001 letters: "\.?k{50,100}…"/,
  );
  expect(() => findTensors(tensorsUnder("k".repeat(4000), 30_000), "", fail)).toThrow(
    "its names are longer together than those of any state dict",
  );
});

test("names of a large model are read", () => {
  expect(findTensors(tensorsUnder("model.layers.mlp.experts", 50_000), "", fail).tensors.size).toBe(50_000);
});

test("a message shows a long name in part", () => {
  expect(() => findTensors(new Map([["a", tensor]]), "x".repeat(1_000_000), fail)).toThrow(/^there is no "x{100}…"/);
});
