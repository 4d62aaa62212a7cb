import { F, ShapeError, tensor, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { ContrastiveScale, Siglip, sigmoidContrastiveLoss } from "./contrastive.js";

const softplus = (x: number) => Math.log1p(Math.exp(x));

test("every true pair counts as positive", () => {
  tidy(() => {
    const logits = tensor([
      [1, -2, 0.5],
      [0.25, 3, -1],
    ]);
    const positives = tensor([
      [true, false, true],
      [false, true, false],
    ]).to("bool");
    // true pairs cost log(1 + e^-x), all others log(1 + e^x); averaged over the two texts
    const expected = (softplus(-1) + softplus(-2) + softplus(-0.5) + softplus(0.25) + softplus(-3) + softplus(-1)) / 2;
    expect(sigmoidContrastiveLoss(logits, positives).item()).toBeCloseTo(expected, 5);
  });
});

test("by default text i belongs to picture i, and the order of the pairs does not matter", () => {
  tidy(() => {
    const logits = F.randn([5, 5]);
    const loss = sigmoidContrastiveLoss(logits);
    expectClose(sigmoidContrastiveLoss(logits, F.eye(5).to("bool")), loss, { rtol: 1e-6, atol: 0 });
    const order = F.randperm(5);
    const permuted = logits.indexSelect(0, order).indexSelect(1, order);
    expectClose(sigmoidContrastiveLoss(permuted), loss, { rtol: 1e-5, atol: 0 });
  });
});

test("a scale sees directions only", () => {
  tidy(() => {
    using scale = new ContrastiveScale({ temperature: 10, bias: -5 });
    const [texts, pictures] = [F.randn([3, 4]), F.randn([2, 4])];
    expectClose(scale.forward(texts.mul(7), pictures), scale.forward(texts, pictures.mul(0.1)), {
      rtol: 1e-4,
      atol: 1e-4,
    });
    expect(scale.forward(texts, texts).select(0, 0).select(0, 0).item()).toBeCloseTo(5, 4);
  });
});

test("errors name the values", () => {
  tidy(() => {
    expect(() => sigmoidContrastiveLoss(F.zeros([2, 3]))).toThrow(ShapeError);
    expect(() => sigmoidContrastiveLoss(F.zeros([2, 3]))).toThrow(/\(2, 3\)/);
    expect(() => sigmoidContrastiveLoss(F.zeros([2, 3]), F.ones([3, 2], "bool"))).toThrow(/positives is \(3, 2\)/);
    const tower = { dim: 8, mlpDim: 8, layers: 1, heads: 2 };
    using headless = new Siglip(
      { ...tower, imageSize: 8, patchSize: 4, head: "none" },
      { ...tower, vocabularySize: 4, maxTokens: 3, readout: "last-position" },
    );
    expect(() => headless.forward(F.zeros([1, 3], "int64"), F.zeros([1, 3, 8, 8]))).toThrow(ConfigError);
  });
});
