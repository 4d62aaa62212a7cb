import { memory, setThreads, tensor, tidy } from "@asvr/torch";
import fc from "fast-check";
import { expect, test } from "vitest";
import { packSamples, sees } from "../data/packing.js";
import { tinySample } from "./fixture.js";
import { batchTensors, visibilityMask } from "./layout.js";

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

test("a batch as tensors", () => {
  const before = memory().tensors;
  tidy(() => {
    const samples = [
      tinySample("cat", [1, "image", 5, 6], { key: "cat", learnedFrom: 3 }),
      tinySample("text", [1, 7, 8], { learnedFrom: 2 }),
      tinySample("dog", [1, 9, "image", 5], { key: "dog", learnedFrom: 3 }),
    ];
    const batch = packSamples(samples, { capacity: 9, imageTokens: 2, sharePrefix: true });
    const held = memory().tensors;
    const tensors = batchTensors(batch, "cpu");
    expect(memory().tensors).toBe(held + 6);
    expect(batch).toMatchObject({ rows: 2, length: 8 });
    expect(tensors.inputIds.shape).toEqual([2, 8]);
    expect(tensors.inputIds.toNumbers()).toEqual([1, 0, 0, 5, 6, 1, 7, 8, 1, 9, 0, 0, 5, 0, 0, 0]);
    expect(tensors.positions.toNumbers()).toEqual([0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3, 4, 0, 0, 0]);
    expect(tensors.imagePositions.toNumbers()).toEqual([1, 2, 10, 11]);
    expect(tensors.targetPositions.toNumbers()).toEqual([3, 6, 11]);
    expect(tensors.targetIds.toNumbers()).toEqual([6, 8, 5]);
    expect(tensors.beginsWithImage).toBe(false);
    for (const name of ["inputIds", "positions", "imagePositions", "targetPositions", "targetIds"] as const) {
      expect(tensors[name].dtype).toBe("int64");
    }
  });
  expect(memory().tensors).toBe(before);
});
