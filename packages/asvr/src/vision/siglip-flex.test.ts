import { F, manualSeed, memory, noGrad, ShapeError, setThreads, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type FlexPictures, flexPictures, flexSize, type SiglipFlexConfig, SiglipFlexTower } from "./siglip-flex.js";

setThreads(1); // test files run side by side
manualSeed(2);
const small: SiglipFlexConfig = {
  ...{ dim: 12, mlpDim: 20, layers: 2, heads: 3, patchSize: 4, gridSide: 3, imageSize: 12 },
  head: "attention-pooling",
};
const close = { rtol: 1e-4, atol: 1e-5 };

test("a picture is seen the same alone and in a batch, whatever stands at its pads", () => {
  using tower = new SiglipFlexTower(small);
  const side = fc.integer({ min: 1, max: 5 });
  fc.assert(
    fc.property(side, side, side, side, (rows, columns, otherRows, otherColumns) =>
      noGrad(() =>
        tidy(() => {
          const [picture, other] = [
            flexPictures(F.randn([1, 3, rows * 4, columns * 4]), 4),
            flexPictures(F.randn([1, 3, otherRows * 4, otherColumns * 4]), 4),
          ];
          const most = Math.max(rows * columns, otherRows * otherColumns);
          const padded = ({ patches }: FlexPictures) => F.cat([patches, F.randn([1, most, 48])], 1).narrow(1, 0, most);
          const patches = F.cat([padded(picture), padded(other)], 0);
          const together = tower.forward({ patches, shapes: [...picture.shapes, ...other.shapes] });
          for (const [index, own] of [picture, other].entries()) {
            const alone = tower.forward(own);
            const states = together.lastHiddenState.narrow(0, index, 1).narrow(1, 0, own.patches.size(1));
            expectClose(states, alone.lastHiddenState, close, "states");
            expectClose(together.pooled!.narrow(0, index, 1), alone.pooled!, close, "pooled");
          }
        }),
      ),
    ),
    { numRuns: 15 },
  );
});

test("the size of a picture: as many patches as may be, never more", () => {
  const side = fc.integer({ min: 1, max: 4000 });
  fc.assert(
    fc.property(side, side, fc.integer({ min: 1, max: 300 }), (height, width, maxPatches) => {
      const size = flexSize({ height, width }, { patchSize: 8, maxPatches });
      expect((size.height % 8) + (size.width % 8)).toBe(0);
      expect((size.height / 8) * (size.width / 8)).toBeGreaterThanOrEqual(1);
      // A picture so long that its shorter side is less than a patch can't be helped by making it smaller.
      if (Math.max(height, width) / Math.min(height, width) <= maxPatches) {
        expect((size.height / 8) * (size.width / 8)).toBeLessThanOrEqual(maxPatches);
      }
    }),
  );
});

test("errors name the values; no tensor is left behind", () => {
  const before = memory().tensors;
  {
    using tower = new SiglipFlexTower(small);
    const held = memory().tensors;
    tidy(() => {
      const patches = F.zeros([1, 6, 48]);
      expect(() => tower.forward({ patches, shapes: [[2, 4]] })).toThrow(ShapeError);
      expect(() => tower.forward({ patches, shapes: [[2, 4]] })).toThrow(/\(1, 6, 48\) .* 2 x 4 .* at least 8, 48/);
      expect(() => tower.forward({ patches, shapes: [] })).toThrow(/0 pictures/);
      expect(() => tower.hiddenState(F.zeros([1, 3, 12, 10]), 0)).toThrow(/\(1, 3, 12, 10\)/);
      tower
        .forward({ patches, shapes: [[2, 3]] })
        .pooled!.sum()
        .backward();
      expect(tower.embeddings.positionEmbedding.weight.grad!.abs().sum().item()).toBeGreaterThan(0);
    });
    for (const parameter of tower.parameters()) parameter.grad = null;
    expect(memory().tensors).toBe(held);
  }
  expect(memory().tensors).toBe(before);
});
