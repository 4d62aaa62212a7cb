import { expect, test } from "vitest";
import { padToSquare, preprocess, siglipPreprocessing } from "./preprocess.js";
import { resize } from "./resize.js";

const wide = { width: 3, height: 1, data: Uint8Array.of(0, 0, 0, 51, 102, 153, 255, 255, 255) };

test("a picture of the right size is only normalised, by channel", () => {
  const data = Uint8Array.of(0, 51, 102, 255, 204, 153, 0, 0, 0, 255, 255, 255);
  const pixelValues = preprocess({ width: 2, height: 2, data }, { ...siglipPreprocessing, size: 2 });
  const want = [0, 255, 0, 255, 51, 204, 0, 255, 102, 153, 0, 255].map((value) =>
    Math.fround((value / 255 - 0.5) / 0.5),
  );
  expect([...pixelValues]).toEqual(want);
});

test("padding puts the picture in the middle of the mean colour", () => {
  const square = padToSquare(wide, [1, 2, 3]);
  const line = [1, 2, 3, 1, 2, 3, 1, 2, 3];
  expect(square).toMatchObject({ width: 3, height: 3 });
  expect([...square.data]).toEqual([...line, ...wide.data, ...line]);
  const tall = padToSquare({ width: 1, height: 2, data: wide.data.slice(0, 6) }, [9, 9, 9]);
  expect([...tall.data]).toEqual([0, 0, 0, 9, 9, 9, 51, 102, 153, 9, 9, 9]); // the spare column on the right
});

test("pad mode fills with the mean: zero after normalisation, up to rounding to 8 bits", () => {
  const pixelValues = preprocess(wide, { ...siglipPreprocessing, mode: "pad", size: 3 });
  expect(pixelValues[0]).toBeCloseTo((127 / 255 - 0.5) / 0.5, 6);
  const white = preprocess(wide, { ...siglipPreprocessing, mode: "pad", size: 3, background: [255, 255, 255] });
  expect(white[0]).toBe(1);
});

test("resizing keeps an even colour and gives the size asked for", () => {
  const even = { width: 7, height: 5, data: new Uint8Array(7 * 5 * 3).fill(77) };
  const { width, height, data } = resize(even, 4, 9);
  expect([width, height]).toEqual([4, 9]);
  expect(data).toEqual(new Uint8Array(4 * 9 * 3).fill(77));
  expect(resize(even, 7, 5)).toBe(even);
});

test("a size that is none is refused", () => {
  expect(() => preprocess(wide, { ...siglipPreprocessing, size: 0 })).toThrow("size is 0");
});

test("crop mode: the shorter side as asked, the longer one with it, rounded down; then the middle", () => {
  const data = Uint8Array.from({ length: 7 * 5 * 3 }, (_, at) => (at * 37) % 256);
  const image = { width: 7, height: 5, data };
  const cropped = preprocess(image, { ...siglipPreprocessing, mode: "crop", size: 4, shortestEdge: 6 });
  const whole = resize(image, 8, 6); // 6 * 7 / 5 = 8.4
  const value = (row: number, column: number) => whole.data[(row * 8 + column) * 3]!;
  const want = [1, 2, 3, 4].flatMap((row) => [2, 3, 4, 5].map((column) => value(row, column)));
  expect([...cropped.subarray(0, 16)]).toEqual(want.map((x) => Math.fround((x / 255 - 0.5) / 0.5)));
});

test("crop mode of a square that is larger than the picture: black around it", () => {
  const white = { width: 2, height: 2, data: new Uint8Array(12).fill(255) };
  const settings = { ...siglipPreprocessing, mode: "crop", size: 5, shortestEdge: 2 } as const;
  const plane = preprocess(white, settings).subarray(0, 25);
  const lit = [...plane.keys()].filter((at) => plane[at] === 1);
  expect(lit).toEqual([12, 13, 17, 18]); // as Hugging Face's CLIP processor has it: the odd rest above and to the left
});
