import { F, manualSeed, memory, noGrad, ShapeError, setThreads, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, expect, test } from "vitest";
import { tinyLlava } from "../checkpoints/fixture.js";
import { llavaNextConfig } from "../checkpoints/llava-config.js";
import { LlavaNext } from "./llava-next.js";

setThreads(1); // test files run side by side
manualSeed(5);
const before = memory().tensors;
const config = llavaNextConfig({
  ...{ ...tinyLlava, model_type: "llava_next" },
  image_grid_pinpoints: [
    [21, 42],
    [42, 42],
  ],
});
const model = new LlavaNext(config);
afterAll(() => {
  model.dispose();
  expect(memory().tensors).toBe(before);
});
const wide = { height: 20, width: 40 };

test("each row of the tiles' patches ends with the newline; tiles that only pad a batch change nothing", () => {
  noGrad(() =>
    tidy(() => {
      const pixelValues = F.randn([1, 5, 3, 21, 21]);
      const held = memory().tensors;
      const features = model.imageFeatures(pixelValues, [wide]);
      expect(memory().tensors).toBe(held + 1);
      expect(features.shape).toEqual([9 + 3 * 7, 16]); // the whole picture, then 3 rows of two tiles and a newline
      const newlines = features.narrow(0, 9, 21).view([3, 7, 16]).select(1, 6);
      expectClose(newlines, model.imageNewline.expand([3, 16]), { rtol: 0, atol: 0 });
      const alone = model.imageFeatures(pixelValues.narrow(1, 0, 3), [wide]);
      expectClose(features, alone, { rtol: 1e-5, atol: 1e-6 });
    }),
  );
});

test("errors name the values", () => {
  tidy(() => {
    expect(() => model.imageFeatures(F.zeros([1, 2, 3, 21, 21]), [wide])).toThrow(ShapeError);
    expect(() => model.imageFeatures(F.zeros([1, 2, 3, 21, 21]), [wide])).toThrow(
      /\(1, 2, 3, 21, 21\).*1 pictures of 3 tiles/,
    );
    const ids = F.full([1, 4], 20, "int64");
    expect(() => model.forward(ids, F.zeros([3, 16]))).toThrow(/are 3 features, but the texts have 4 image tokens/);
    const full = { ...config, selection: { layers: [-2], strategy: "full" } as const };
    expect(() => new LlavaNext(full)).toThrow(
      /9 patches, but the strategy "full" selects 10 positions of a clip tower/,
    );
  });
});
