import { memory, setThreads, tensor, tidy } from "@asvr/torch";
import fc from "fast-check";
import { expect, test } from "vitest";
import { packSamples, sees } from "../data/packing.js";
import { tinySample } from "./fixture.js";
import { batchTensors, readoutOf, visibilityMask } from "./layout.js";

setThreads(1); // test files run side by side

const anyRows = fc
  .record({ rows: fc.integer({ min: 1, max: 4 }), length: fc.integer({ min: 1, max: 13 }) })
  .chain(({ rows, length }) => {
    const grid = (values: fc.Arbitrary<number>) =>
      fc.array(values, { minLength: rows * length, maxLength: rows * length }).map((array) => Int32Array.from(array));
    return fc.record({
      rows: fc.constant(rows),
      length: fc.constant(length),
      documents: grid(fc.integer({ min: -1, max: 2 })),
      segments: grid(fc.integer({ min: 0, max: 3 })),
    });
  });

test("the mask is true exactly where a token sees another", () => {
  fc.assert(
    fc.property(anyRows, (batch) => {
      tidy(() => {
        const { rows, length, documents, segments } = batch;
        const grid = (values: Int32Array) => tensor(values, { shape: [rows, length] }).to("int64");
        const mask = visibilityMask(grid(documents), grid(segments));
        expect(mask.shape).toEqual([rows, 1, length, length]);
        expect(mask.dtype).toBe("bool");
        const expected = Array.from({ length: rows * length * length }, (_, index) => {
          const query = Math.floor(index / length);
          const key = Math.floor(query / length) * length + (index % length);
          return sees(batch, query, key) ? 1 : 0;
        });
        expect(mask.toNumbers()).toEqual(expected);
      });
    }),
  );
});

const samples = [
  tinySample("cat", [1, "image", 5, 6], { key: "cat", learnedFrom: 3 }),
  tinySample("text", [1, 7, 8], { learnedFrom: 2 }),
  tinySample("dog", [1, 9, "image", 5], { key: "dog", learnedFrom: 3 }),
];
const batch = packSamples(samples, { capacity: 7, imageTokens: 2, compact: true });

test("a batch as tensors", () => {
  const before = memory().tensors;
  tidy(() => {
    const held = memory().tensors;
    const tensors = batchTensors(batch, "cpu");
    expect(memory().tensors).toBe(held + 4);
    expect(batch).toMatchObject({ rows: 2, length: 6 });
    expect(tensors.inputIds.shape).toEqual([2, 6]);
    expect(tensors.inputIds.toNumbers()).toEqual([1, 0, 0, 5, 1, 7, 1, 9, 0, 0, 0, 0]);
    expect(tensors.positions.toNumbers()).toEqual([0, 1, 2, 3, 0, 1, 0, 1, 2, 3, 0, 0]);
    expect(tensors.imagePositions.toNumbers()).toEqual([1, 2, 8, 9]);
    for (const name of ["inputIds", "positions", "imagePositions"] as const) {
      expect(tensors[name].dtype).toBe("int64");
    }
  });
  expect(memory().tensors).toBe(before);
});

test("the states that the losses read, without and with the pictures'", () => {
  const before = memory().tensors;
  tidy(() => {
    const text = readoutOf(batch, null, "cpu");
    expect(text.columns.shape).toEqual([2, 2]);
    expect(text.columns.toNumbers()).toEqual([3, 5, 3, 0]); // the second row repeats its first token
    expect(text.targetStates.toNumbers()).toEqual([0, 1, 2]);
    expect(text.targetIds.toNumbers()).toEqual([6, 8, 5]);
    expect(text.imageStates).toBeNull();

    const same = readoutOf(batch, "same", "cpu");
    expect(same.columns.toNumbers()).toEqual([3, 5, 1, 2, 3, 2, 0, 0]); // dog's last picture position is read once
    expect(same.targetStates.toNumbers()).toEqual([0, 1, 4]);
    expect(same.imageStates!.toNumbers()).toEqual([2, 3, 5, 4]);

    const next = readoutOf(batch, "next", "cpu");
    expect(next.columns.toNumbers()).toEqual([3, 5, 0, 1, 3, 1, 2, 0]);
    expect(next.imageStates!.toNumbers()).toEqual([2, 3, 5, 6]);
  });
  expect(memory().tensors).toBe(before);
});
