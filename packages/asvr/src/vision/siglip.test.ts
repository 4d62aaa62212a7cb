import { F, memory, noGrad, ShapeError, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { foldPatches, unfoldPatches } from "./patches.js";
import { type SiglipVisionConfig, SiglipVisionTower } from "./siglip.js";
import { siglipVisionConfig } from "./siglip-hub.js";
import { SiglipTextTower } from "./siglip-text.js";

const small: SiglipVisionConfig = {
  dim: 12,
  mlpDim: 20,
  layers: 3,
  heads: 3,
  imageSize: 28,
  patchSize: 7,
  head: "none",
};
const close = { rtol: 1e-5, atol: 1e-5 };

test("all patches at their positions equal the whole picture, whatever the order", () => {
  tidy(() => {
    using tower = new SiglipVisionTower({ ...small, head: "mean" });
    const pixelValues = F.randn([2, 3, 28, 28]);
    const whole = tower.forward(pixelValues);
    const order = F.randperm(16);
    const patches = unfoldPatches(pixelValues, 7).indexSelect(1, order);
    const shuffled = tower.forwardPatches(patches, order.unsqueeze(0).expand([2, 16]));
    expectClose(shuffled.lastHiddenState, whole.lastHiddenState.indexSelect(1, order), close);
    expectClose(shuffled.pooled!, whole.pooled!, close);
  });
});

test("a hidden state is computed no further than needed, and counts from either end", () => {
  tidy(() => {
    using tower = new SiglipVisionTower(small);
    const pixelValues = F.randn([1, 3, 28, 28]);
    const states = tower.hiddenStates(pixelValues);
    expect(states.length).toBe(4);
    for (const [index, state] of states.entries()) {
      expectClose(tower.hiddenState(pixelValues, index), state, close);
      expectClose(tower.hiddenState(pixelValues, index - 4), state, close);
    }
    expect(tower.hiddenStates(pixelValues, 1).length).toBe(2);
    expect(tower.forward(pixelValues).pooled).toBeNull();
    expect(() => tower.hiddenState(pixelValues, 4)).toThrow(ConfigError);
    expect(() => tower.hiddenState(pixelValues, -5)).toThrow(/no hidden state -5: a tower of 3 layers/);
  });
});

test("patches fold back into the picture", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 }), (grid, patchSize) =>
      tidy(() => {
        const pixelValues = F.randn([2, 3, grid * patchSize, grid * patchSize]);
        expect(foldPatches(unfoldPatches(pixelValues, patchSize), patchSize).equal(pixelValues)).toBe(true);
      }),
    ),
    { numRuns: 12 },
  );
  tidy(() => expect(() => foldPatches(F.zeros([1, 3, 12]), 2)).toThrow(/patches is \(1, 3, 12\)/));
});

test("what lies behind the mask does not change a text's vector", () => {
  tidy(() => {
    using tower = new SiglipTextTower({ ...small, vocabularySize: 9, maxTokens: 6, readout: "mean" });
    const inputIds = F.randint(0, 9, [2, 6]);
    const mask = F.arange(0, 6, 1, "int64").lt(4).expand([2, 6]);
    const masked = tower.forward(inputIds, mask).pooled;
    expectClose(masked, tower.forward(inputIds.narrow(1, 0, 4)).pooled, close);
  });
});

test("what is left of a picture beyond its last whole patch is not read", () => {
  tidy(() => {
    using whole = new SiglipVisionTower({ ...small, imageSize: 28 });
    using larger = new SiglipVisionTower({ ...small, imageSize: 33 }); // 4 patches of 7, and 5 pixels more
    larger.load(whole.stateDict());
    const pixelValues = F.randn([2, 3, 33, 33]);
    const read = pixelValues.narrow(2, 0, 28).narrow(3, 0, 28);
    expectClose(larger.forward(pixelValues).lastHiddenState, whole.forward(read).lastHiddenState, close);
  });
});

test("errors name the values", () => {
  tidy(() => {
    using tower = new SiglipVisionTower(small);
    expect(() => tower.forward(F.zeros([1, 3, 14, 28]))).toThrow(ShapeError);
    expect(() => tower.forward(F.zeros([1, 3, 14, 28]))).toThrow(
      /\(1, 3, 14, 28\), this tower takes \(batch, 3, 28, 28\)/,
    );
    expect(() => tower.forwardPatches(F.zeros([2, 4, 147]), F.zeros([2, 3], "int64"))).toThrow(
      /\(2, 4, 147\) and positionIds is \(2, 3\)/,
    );
    expect(() => new SiglipVisionTower({ ...small, heads: 5 })).toThrow(/width of 12 can't be divided among 5 heads/);
    expect(() => new SiglipVisionTower({ ...small, imageSize: 6 })).toThrow(/size of 6 holds no patch of 7/);
    expect(() => siglipVisionConfig({ hidden_act: "relu" }, "none")).toThrow(/"relu"/);
    using text = new SiglipTextTower({ ...small, vocabularySize: 9, maxTokens: 6, readout: "last-position" });
    expect(() => text.forward(F.zeros([1, 7], "int64"))).toThrow(/\(1, 7\), expected \(batch, at most 6 tokens\)/);
    expect(() => text.forward(F.zeros([1, 4], "int64"), F.ones([1, 3], "bool"))).toThrow(
      /\(1, 3\) but inputIds is \(1, 4\)/,
    );
  });
});

test("leaves no tensor behind", () => {
  const before = memory().tensors;
  {
    using tower = new SiglipVisionTower({ ...small, head: "attention-pooling" });
    const held = memory().tensors;
    noGrad(() => tidy(() => void tower.forward(F.randn([2, 3, 28, 28]))));
    expect(memory().tensors).toBe(held);
  }
  expect(memory().tensors).toBe(before);
});
