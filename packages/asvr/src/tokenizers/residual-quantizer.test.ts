import { DtypeError, F, manualSeed, memory, ShapeError, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { codeUsage, ResidualQuantizer, type ResidualQuantizerConfig } from "./residual-quantizer.js";

const learning = { kind: "rq_ema", decay: 0.9, restartBelow: 1 } as const;
const small: ResidualQuantizerConfig = { dim: 6, codebookSize: 10, depth: 3, shared: true, update: learning };

const configs = fc.record({
  dim: fc.integer({ min: 1, max: 7 }),
  codebookSize: fc.integer({ min: 2, max: 12 }),
  depth: fc.integer({ min: 1, max: 5 }),
  shared: fc.boolean(),
  update: fc.record({
    kind: fc.constantFrom("rq_ema" as const, "rq" as const),
    decay: fc.constantFrom(0.5, 0.95),
    restartBelow: fc.constantFrom(1, 0.03, "never" as const),
  }),
});

test("codes stand for the sums of their vectors, before and after learning, whatever the shape", () => {
  fc.assert(
    fc.property(configs, fc.integer({ min: 1, max: 4 }), (config, batch) =>
      tidy(() => {
        using quantizer = new ResidualQuantizer(config);
        const x = F.randn([batch, 5, config.dim]);
        for (let step = 0; step < 2; step++) {
          const { codes, cumulative, quantized } = quantizer.encode(x);
          expect(codes.shape).toEqual([batch, 5, config.depth]);
          expect(cumulative.shape).toEqual([batch, 5, config.depth, config.dim]);
          expect(quantizer.lookup(codes).equal(cumulative)).toBe(true);
          expect(quantizer.codesOf(x).equal(codes)).toBe(true);
          expectClose(quantized, cumulative.select(2, config.depth - 1), { rtol: 1e-5, atol: 1e-5 });
          expect(codes.lt(config.codebookSize).all().item()).toBe(1);
          if (step === 0) quantizer.encodeAndUpdate(x);
        }
      }),
    ),
    { numRuns: 40 },
  );
});

test("with a codebook for each depth, both kinds of update are the same", () => {
  tidy(() => {
    const x = F.randn([40, 6]);
    const states = (["rq", "rq_ema"] as const).map((kind) => {
      manualSeed(3);
      using quantizer = new ResidualQuantizer({ ...small, shared: false, update: { ...learning, kind } });
      quantizer.encodeAndUpdate(x);
      return quantizer.codebookTensor();
    });
    expect(states[0]!.equal(states[1]!)).toBe(true);
  });
});

test("a saved and loaded quantizer gives the same codes and goes on learning the same", () => {
  tidy(() => {
    using quantizer = new ResidualQuantizer(small);
    using copy = new ResidualQuantizer(small);
    const x = F.randn([30, 6]);
    quantizer.initialiseFrom(x);
    quantizer.encodeAndUpdate(x);
    expect(copy.started).toBe(false);
    copy.load(quantizer.stateDict());
    expect(copy.started).toBe(true);
    expect(copy.encode(x).codes.equal(quantizer.encode(x).codes)).toBe(true);
    for (const each of [quantizer, copy]) {
      manualSeed(1);
      each.encodeAndUpdate(x);
    }
    expect(copy.codebookTensor().equal(quantizer.codebookTensor())).toBe(true);

    using frozen = new ResidualQuantizer({ ...small, update: undefined });
    frozen.load(quantizer.stateDict(), { allowUnused: true });
    expect(frozen.codesOf(x).equal(quantizer.codesOf(x))).toBe(true);
    expect([...frozen.stateDict().keys()]).toEqual(["codebooks.0.weight"]);
    expect(() => frozen.encodeAndUpdate(x)).toThrow(ConfigError);
  });
});

test("started from data, it describes the data better than chance, and no code is wasted", () => {
  tidy(() => {
    manualSeed(0);
    for (const shared of [true, false]) {
      using quantizer = new ResidualQuantizer({ ...small, codebookSize: 16, shared });
      const x = F.randn([400, 6]).add(3);
      const before = quantizer.encode(x).quantized.mseLoss(x).item();
      quantizer.initialiseFrom(x);
      const { codes, quantized } = quantizer.encode(x);
      expect(quantized.mseLoss(x).item()).toBeLessThan(before / 4);
      expect(quantized.mseLoss(x).item()).toBeLessThan(0.45);
      for (const { used, perplexity } of codeUsage(codes, 16)) {
        expect(used).toBeGreaterThanOrEqual(4);
        expect(perplexity).toBeLessThanOrEqual(used + 1e-3);
      }
    }
  });
});

test("long searches, done in parts, find the same codes", () => {
  tidy(() => {
    using quantizer = new ResidualQuantizer({ dim: 4, codebookSize: 4096, depth: 1, shared: true });
    const x = F.randn([2100, 4]); // more than 2^22 pairs
    const whole = quantizer.codesOf(x);
    expect(quantizer.codesOf(x.narrow(0, 1500, 600)).equal(whole.narrow(0, 1500, 600))).toBe(true);
  });
});

test("errors name the values", () => {
  tidy(() => {
    using quantizer = new ResidualQuantizer(small);
    expect(() => quantizer.encode(F.zeros([2, 5]))).toThrow(ShapeError);
    expect(() => quantizer.encode(F.zeros([2, 5]))).toThrow(/x is \(2, 5\), the last dimension must be .* 6/);
    expect(() => quantizer.lookup(F.zeros([2, 4], "int64"))).toThrow(/codes is \(2, 4\), .* the depth, 3/);
    expect(() => quantizer.lookup(F.zeros([2, 3], "int32"))).toThrow(DtypeError);
  });
});

test("leaves no tensor behind", () => {
  const before = memory().tensors;
  {
    using quantizer = new ResidualQuantizer(small);
    const held = memory().tensors;
    tidy(() => {
      const x = F.randn([30, 6]).setRequiresGrad(true);
      quantizer.initialiseFrom(x);
      const inside = memory().tensors;
      const { commitmentLoss } = quantizer.encodeAndUpdate(x);
      expect(memory().tensors).toBe(inside + 4);
      commitmentLoss.backward();
      void quantizer.started;
      codeUsage(quantizer.codesOf(x), 10);
    });
    expect(memory().tensors).toBe(held);
  }
  expect(memory().tensors).toBe(before);
});
