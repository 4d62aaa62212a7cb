import { expect, test } from "vitest";
import { Random } from "../random.js";
import { readCaption } from "./caption.js";
import { fullCaption } from "./language.js";
import { sampleScene } from "./scene.js";
import { makeSplit } from "./splits.js";

test("a full caption read back is the scene", () => {
  const split = makeSplit(
    "train",
    0,
    Array.from({ length: 10 }, () => 100),
  );
  for (let i = 0; i < 50; i++) {
    const random = new Random(3).fork(i);
    const scene = sampleScene(split, random);
    const told = readCaption(fullCaption(scene, random));
    const byCell = <T extends { cell: number }>(list: readonly T[]) => list.toSorted((a, b) => a.cell - b.cell);
    expect(byCell(told.objects)).toEqual(
      byCell(scene.objects.map(({ concept, color, plate }) => ({ concept, color, cell: plate.cell }))),
    );
    expect(told.digit).toEqual(scene.digit && { value: scene.digit.value, cell: scene.digit.plate.cell });
    expect(told.background).toBe(scene.background);
  }
  expect(() => readCaption("a dog")).toThrow('"a dog" is not a phrase');
});
