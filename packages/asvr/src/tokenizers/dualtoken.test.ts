import { F, memory, noGrad, setThreads, tidy } from "@asvr/torch";
import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { DualToken, type DualTokenConfig } from "./dualtoken.js";
import { dualTokenLosses } from "./dualtoken-loss.js";

setThreads(1); // test files run side by side
const quantizer = { dim: 8, codebookSize: 6, depth: 2, shared: true };
const small: DualTokenConfig = {
  vision: {
    ...{ dim: 32, mlpDim: 24, layers: 3, heads: 2, imageSize: 8, patchSize: 4 },
    head: "attention-pooling",
  },
  semantic: { layer: -2, projected: true, quantizer },
  appearance: {
    ...{ layer: 1, shortcut: null, quantizer, latentShape: null },
    decoder: {
      ...{ inChannels: 32, outChannels: 3, channels: 32, multipliers: [1, 1, 1] },
      ...{ resBlocks: 0, resolution: 8, attentionAt: [] },
    },
  },
};

test("without a shortcut, and from the patches' own grid; learning moves both kinds of features", () => {
  const before = memory().tensors;
  {
    using tokenizer = new DualToken(small);
    tidy(() => {
      expect([...tokenizer.stateDict().keys()].some((name) => name.startsWith("prequant_shortcut"))).toBe(false);
      const pictures = F.randn([2, 3, 8, 8]);
      const output = tokenizer.forward(pictures);
      expect(output.semanticState.shape).toEqual([2, 4, 32]);
      const reconstruction = tokenizer.decode(output.appearance.quantized);
      expect(reconstruction.shape).toEqual([2, 3, 8, 8]);
      const teacher = noGrad(() => ({
        hiddenState: tokenizer.visionModel.hiddenState(pictures, -2),
        pooled: tokenizer.visionModel.forward(pictures).pooled!,
      }));
      dualTokenLosses(output, { reconstruction, pictures, teacher }).total.backward();
      for (const { proj } of [tokenizer.prequantSem!, tokenizer.prequantPix]) {
        expect(proj.weight.grad!.abs().sum().item()).toBeGreaterThan(0);
      }
    });
    for (const parameter of tokenizer.parameters()) parameter.grad = null;
  }
  expect(memory().tensors).toBe(before);
});

test("errors name the values, and leave nothing behind", () => {
  const before = memory().tensors;
  const make = (change: Partial<DualTokenConfig>) => () => new DualToken({ ...small, ...change });
  expect(make({ semantic: { ...small.semantic, projected: false } })).toThrow(ConfigError);
  expect(make({ semantic: { ...small.semantic, projected: false } })).toThrow(/8 wide, the tower 32/);
  expect(make({ semantic: { ...small.semantic, layer: 4 } })).toThrow(/no hidden state 4/);
  const shortcut = { layer: 7, weight: 0.5 };
  expect(make({ appearance: { ...small.appearance, shortcut } })).toThrow(/no hidden state 7/);
  expect(memory().tensors).toBe(before);
});
