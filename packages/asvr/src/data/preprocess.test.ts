import { expect, test } from "vitest";
import { Random } from "../random.js";
import type { RgbImage } from "./images.js";
import { padToSquare, preprocess, siglipPreprocessing, squareOf } from "./preprocess.js";
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

function noise(width: number, height: number): RgbImage {
  const random = new Random(width * 1000 + height);
  return { width, height, data: Uint8Array.from({ length: width * height * 3 }, () => random.int(256)) };
}

const shapes = [1, 2, 3, 7, 20, 33, 64, 130].flatMap((width) =>
  [1, 5, 21, 40, 97].map((height) => ({ width, height })),
);

test.each(["bicubic", "bilinear"] as const)(
  "only what the square shows is computed, to the pixel: %s",
  (resampling) => {
    for (const { width, height } of shapes) {
      const image = noise(width, height);
      for (const size of [1, 21, 56]) {
        const pad = { ...siglipPreprocessing, size, resampling, mode: "pad", background: [200, 3, 127] } as const;
        expect(squareOf(image, pad)).toEqual(resize(padToSquare(image, pad.background), size, size, resampling));
        const crop = { ...siglipPreprocessing, size, resampling, mode: "crop", shortestEdge: size + 3 } as const;
        const shorter = Math.min(width, height);
        const side = (length: number) => Math.trunc((crop.shortestEdge * length) / shorter);
        const whole = resize(image, side(width), side(height), resampling);
        const [left, top] = [whole.width, whole.height].map((length) => Math.floor((length - size) / 2)) as [
          number,
          number,
        ];
        const rows = Array.from({ length: size }, (_, row) => ((top + row) * whole.width + left) * 3);
        const middle = rows.flatMap((from) => [...whole.data.subarray(from, from + size * 3)]);
        expect([...squareOf(image, crop).data]).toEqual(middle);
      }
    }
  },
);

test.each(["pad", "crop", "resize"] as const)("a very thin picture takes no more than others: %s", (mode) => {
  for (const [width, height] of [
    [1, 60_000],
    [60_000, 1],
  ] as const) {
    const data = new Uint8Array(width * height * 3).fill(200);
    const began = performance.now();
    const pixelValues = preprocess({ width, height, data }, { ...siglipPreprocessing, mode, size: 336 });
    expect(performance.now() - began).toBeLessThan(30_000); // it was minutes, or no memory was left
    const middle = pixelValues[168 * 336 + 168]!;
    const shown = mode === "pad" ? 127 : 200; // a pixel in sixty thousand is not to be seen beside its padding
    expect(Math.abs(middle - (shown / 255 - 0.5) / 0.5)).toBeLessThan(0.02);
  }
});
