import { F, memory, noGrad, ShapeError, setThreads, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { type ClipVisionConfig, ClipVisionTower } from "./clip.js";
import { clipVisionConfig } from "./clip-hub.js";
import { VisualFeatures } from "./visual-features.js";

setThreads(1); // test files run side by side
const small: ClipVisionConfig = {
  ...{ dim: 12, mlpDim: 20, layers: 3, heads: 3, imageSize: 28, patchSize: 7 },
  activation: "quick-gelu",
};
const close = { rtol: 1e-5, atol: 1e-5 };

test("features are the selected layers' vectors side by side, with or without the class token", () => {
  tidy(() => {
    using tower = new ClipVisionTower(small);
    const pixelValues = F.randn([2, 3, 28, 28]);
    const all = new VisualFeatures(tower, { layers: [-3, 2], strategy: "full" });
    expect([all.positions, all.dim]).toEqual([17, 24]);
    const joined = F.cat([tower.hiddenState(pixelValues, 1), tower.hiddenState(pixelValues, -2)], -1);
    expectClose(all.forward(pixelValues), joined, close);
    const patches = new VisualFeatures(tower, { layers: [-3, 2], strategy: "default" });
    expect(patches.positions).toBe(16);
    expectClose(patches.forward(pixelValues), joined.narrow(1, 1, 16), close);
  });
});

test("errors name the values", () => {
  tidy(() => {
    using tower = new ClipVisionTower(small);
    expect(() => tower.forward(F.zeros([1, 3, 14, 28]))).toThrow(ShapeError);
    expect(() => tower.forward(F.zeros([1, 3, 14, 28]))).toThrow(/\(1, 3, 14, 28\), this tower takes/);
    expect(() => tower.hiddenState(F.zeros([1, 3, 28, 28]), 4)).toThrow(/no hidden state 4: a tower of 3 layers/);
    expect(() => new VisualFeatures(tower, { layers: [-5], strategy: "full" })).toThrow(ConfigError);
    expect(() => new VisualFeatures(tower, { layers: [], strategy: "full" })).toThrow(/no layer/);
    expect(() => new ClipVisionTower({ ...small, imageSize: 6 })).toThrow(/size of 6 holds no patch of 7/);
    expect(() => clipVisionConfig({ hidden_act: "relu" })).toThrow(/"relu"/);
  });
});

test("leaves no tensor behind", () => {
  const before = memory().tensors;
  {
    using tower = new ClipVisionTower(small);
    const held = memory().tensors;
    noGrad(() => tidy(() => void tower.forward(F.randn([2, 3, 28, 28]))));
    expect(memory().tensors).toBe(held);
  }
  expect(memory().tensors).toBe(before);
});
