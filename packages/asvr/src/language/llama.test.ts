import { F, keep, manualSeed, memory, setThreads, type Tensor, tensor, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, describe, expect, test } from "vitest";
import { KeyValueCache, type LlamaContext, LlamaModel } from "./llama.js";

setThreads(1); // test files run side by side
manualSeed(5);
const close = { rtol: 1e-5, atol: 1e-6 };
const before = memory().tensors;
const model = new LlamaModel({
  vocabSize: 19,
  hiddenSize: 24,
  intermediateSize: 20,
  numHiddenLayers: 3,
  numAttentionHeads: 6,
  numKeyValueHeads: 2,
  ropeTheta: 100,
  rmsNormEps: 1e-5,
  tieWordEmbeddings: true,
  attentionBias: true,
});
afterAll(() => {
  model.dispose();
  expect(memory().tensors).toBe(before);
});

describe("a readout gives the states of its columns", () => {
  const columns = [
    [6, 0, 3],
    [2, 2, 5],
  ];
  const cases: [string, () => LlamaContext][] = [
    ["causal", () => ({})],
    ["with positions of their own", () => ({ positions: tensor([[3, 1, 4, 1, 5, 9, 2]]).to("int64") })],
    ["with a mask", () => ({ mask: F.rand([2, 1, 7, 7]).gt(0.4).logicalOr(F.eye(7, "bool")) })],
  ];

  test.each(cases)("%s; gradients too", (_, makeContext) => {
    tidy(() => {
      const embeddings = F.randn([2, 7, 24]).setRequiresGrad(true);
      const readout = tensor(columns).to("int64");
      const context = makeContext();
      const places = readout.unsqueeze(2).expand([-1, -1, 24]);
      const whole = model.forward(embeddings, context).gather(1, places);
      const read = model.forward(embeddings, { ...context, readout });
      expectClose(read, whole, close);
      const gradients = [read, whole].map((states) => {
        for (const parameter of [embeddings, ...model.parameters()]) parameter.grad = null;
        states.square().sum().backward();
        return [embeddings.grad!, ...model.parameters().flatMap((parameter) => parameter.grad ?? [])];
      });
      for (const [index, gradient] of gradients[0]!.entries()) {
        expectClose(gradient, gradients[1]![index]!, { rtol: 1e-4, atol: 1e-4 });
      }
    });
  });

  test("behind tokens in a cache, which gets the keys of all", () => {
    tidy(() => {
      const embeddings = F.randn([2, 7, 24]);
      const readout = tensor([[2], [2]]).to("int64"); // of the last three: the last
      const positions = tensor([[4, 5, 6]]).to("int64");
      using cache = new KeyValueCache();
      model.forward(embeddings.narrow(1, 0, 4), { cache, readout: tensor([[1], [0]]).to("int64") });
      const read = model.forward(embeddings.narrow(1, 4, 3), { cache, readout, positions });
      expectClose(read, model.forward(embeddings).narrow(1, 6, 1), close);
    });
  });
});

describe("sliding windows", () => {
  const windows = [3, null, 2];
  const sliding = new LlamaModel({ ...model.config, slidingWindows: windows });
  afterAll(() => sliding.dispose());

  /** What a layer's tokens see: by columns, as positions are columns here. bool (1, 1, 7, 7) */
  const visible = (window: number | null) => {
    const columns = F.arange(0, 7, 1, "int64");
    const distance = columns.unsqueeze(1).sub(columns.unsqueeze(0));
    return distance.ge(0).logicalAnd(distance.lt(window ?? 7));
  };

  test("a token sees its window, which is a layer's own", () => {
    tidy(() => {
      const seen: Tensor[] = [];
      const observe = (_: number, weights: Tensor) => void seen.push(keep(weights.detach()));
      sliding.forward(F.randn([2, 7, 24]), { observe });
      for (const [layer, window] of windows.entries()) {
        expect(seen[layer]!.gt(0).equal(visible(window).expand([2, 6, 7, 7]))).toBe(true);
        seen[layer]!.dispose();
      }
    });
  });

  test("with a cache, a readout, a mask and positions that begin elsewhere, all is the same", () => {
    tidy(() => {
      const embeddings = F.randn([2, 7, 24]);
      const whole = sliding.forward(embeddings);
      using cache = new KeyValueCache();
      const starts = [0, 3, 4, 7];
      const parts = starts.slice(1).map((end, index) => {
        const start = starts[index]!;
        const positions = F.arange(start, end, 1, "int64").unsqueeze(0);
        return sliding.forward(embeddings.narrow(1, start, end - start), { cache, positions });
      });
      expectClose(F.cat(parts, 1), whole, close);
      const readout = tensor([6, 1, 4, 5], { shape: [2, 2] }).to("int64");
      const places = readout.unsqueeze(2).expand([-1, -1, 24]);
      const positions = F.arange(11, 18, 1, "int64").unsqueeze(0);
      const mask = visible(null).expand([2, 1, 7, 7]);
      expectClose(sliding.forward(embeddings, { readout, mask, positions }), whole.gather(1, places), {
        rtol: 1e-4,
        atol: 1e-5,
      });
    });
  });
});

test("a head may be wider than its share; errors name the sizes", () => {
  const { config } = model;
  using wide = new LlamaModel({ ...config, headDim: 10 });
  tidy(() => {
    expect(wide.stateDict().get("layers.0.self_attn.o_proj.weight")!.shape).toEqual([24, 60]);
    expect(wide.forward(F.randn([1, 3, 24])).shape).toEqual([1, 3, 24]);
  });
  expect(() => new LlamaModel({ ...config, headDim: 5 })).toThrow(/width of 5 is odd/);
  expect(() => new LlamaModel({ ...config, numAttentionHeads: 5 })).toThrow(/24 must be a multiple of 5 heads/);
  expect(() => new LlamaModel({ ...config, slidingWindows: [1] })).toThrow(/1 entries for 3 layers/);
});
