import { F, manualSeed, memory, setThreads, tensor, tidy } from "@asvr/torch";
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
