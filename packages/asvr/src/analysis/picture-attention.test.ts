import { F, manualSeed, memory, noGrad, setThreads, type Tensor, tidy } from "@asvr/torch";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { ChatModel } from "../chat/chat-model.js";
import { embedPrompt } from "../chat/chat-model.js";
import { noise, tinyFolder, tinyNextFolder, userSays } from "../chat/fixture.js";
import { openChatModel } from "../chat/open.js";
import { type LlamaConfig, LlamaModel } from "../language/llama.js";
import { attendToPicture, PictureAttention } from "./picture-attention.js";

const fused = vi.hoisted(() => ({ calls: 0 }));
vi.mock("@asvr/torch", async (original) => {
  const torch = await original<typeof import("@asvr/torch")>();
  const attend: typeof torch.nn.attend = (...given) => {
    fused.calls++;
    return torch.nn.attend(...given);
  };
  return { ...torch, nn: { ...torch.nn, attend } };
});

setThreads(1); // test files run side by side
manualSeed(3);
const before = memory().tensors;
afterAll(() => expect(memory().tensors).toBe(before));
beforeEach(() => {
  fused.calls = 0;
});

/** Rotary turning of (…, tokens, headDim), written out: pair (i, i + headDim/2) turns by position · theta^(-2i/headDim). */
function turned(x: number[][], theta: number): number[][] {
  return x.map((vector, position) => {
    const half = vector.length / 2;
    return vector.map((value, index) => {
      const angle = position * theta ** ((-2 * (index % half)) / vector.length);
      const other = index < half ? -vector[index + half]! : vector[index - half]!;
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  });
}

/**
 * softmax(q kᵀ / √headDim) of one query, from the projections' weights alone, in double precision: (heads, keys).
 * @param input (tokens, hiddenSize): what the layer's projections read
 */
function explicitRow(
  { numAttentionHeads: heads, numKeyValueHeads: kvHeads, hiddenSize, ropeTheta }: LlamaConfig,
  layer: LlamaModel["layers"][number],
  input: Tensor,
  { at, window }: { at: number; window: number | null },
): number[][] {
  const state = layer.selfAttn.stateDict();
  const headDim = hiddenSize / heads;
  const project = (name: string, count: number): number[][][] =>
    tidy(() => {
      const bias = state.get(`${name}.bias`);
      const weight = state.get(`${name}.weight`)!.to("float64");
      const all = F.linear(input.to("float64"), weight, bias?.to("float64")).toNumbers(); // (tokens, count · headDim)
      return Array.from({ length: count }, (_, head) =>
        Array.from({ length: input.size(0) }, (_, token) =>
          all.slice((token * count + head) * headDim, (token * count + head + 1) * headDim),
        ),
      ).map((vectors) => turned(vectors, ropeTheta));
    });
  const [queries, keys] = [project("q_proj", heads), project("k_proj", kvHeads)];
  return queries.map((query, head) => {
    const key = keys[Math.floor(head / (heads / kvHeads))]!;
    const weights = key.map((vector, token) => {
      if (token > at || (window !== null && at - token >= window)) return 0;
      return Math.exp(vector.reduce((sum, value, index) => sum + value * query[at]![index]!, 0) / Math.sqrt(headDim));
    });
    const total = weights.reduce((sum, value) => sum + value, 0);
    return weights.map((value) => value / total);
  });
}

const config: LlamaConfig = {
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
};

describe("attention is softmax(q kᵀ / √d), from the projections by themselves", () => {
  test.each<[string, Partial<LlamaConfig>]>([
    ["a key for each head", { numKeyValueHeads: 6 }],
    ["grouped keys", {}],
    ["grouped keys and sliding windows", { slidingWindows: [3, null, 5] }],
  ])("%s", (_, changes) => {
    using model = new LlamaModel({ ...config, ...changes });
    noGrad(() =>
      tidy(() => {
        const embeddings = F.randn([1, 9, 24]);
        const found: number[][] = [];
        const observe = (layer: number, weights: Tensor) => {
          found[layer] = weights.select(2, -1).flatten().toNumbers();
        };
        const states = model.hiddenStates(embeddings, { observe });
        for (const [index, layer] of model.layers.entries()) {
          const input = layer.inputLayernorm.forward(states[index]!).select(0, 0);
          const window = changes.slidingWindows?.[index] ?? null;
          const wanted = explicitRow(model.config, layer, input, { at: 8, window }).flat();
          expect(largestDifference(found[index]!, wanted)).toBeLessThan(1e-5);
        }
      }),
    );
  });
});

describe("a model that nobody observes", () => {
  test("takes the fused kernel once a layer and makes no weights", () => {
    using model = new LlamaModel(config);
    const softmax = vi.spyOn(Object.getPrototypeOf(model.embedTokens.weight), "softmax");
    noGrad(() =>
      tidy(() => {
        const embeddings = F.randn([1, 9, 24]);
        model.forward(embeddings);
        expect([fused.calls, softmax.mock.calls.length]).toEqual([3, 0]);
        model.forward(embeddings, { observe: () => {} });
        expect([fused.calls, softmax.mock.calls.length]).toEqual([6, 3]);
      }),
    );
    softmax.mockRestore();
  });
});

/** The same of a whole LVLM: attention of the last of `extra` tokens behind the prompt, a layer a row. */
function explicitOverPicture(model: ChatModel, picture: ReturnType<typeof noise>, extra: readonly number[]) {
  return noGrad(() =>
    tidy(() => {
      const prompt = model.prompt(userSays("what is it?", picture));
      const inputIds = [...prompt.inputIds, ...extra];
      const embedded = embedPrompt(model, { ...prompt, inputIds }, [model.see(picture)]);
      const { layers, config: sizes } = model.language.model;
      const states = model.language.model.hiddenStates(embedded);
      const start = inputIds.indexOf(model.imageTokenId);
      const { rows, columns } = model.grid(picture);
      return layers.flatMap((layer, index) => {
        const input = layer.inputLayernorm.forward(states[index]!).select(0, 0);
        const window = sizes.slidingWindows?.[index] ?? null;
        const weights = explicitRow(sizes, layer, input, { at: inputIds.length - 1, window });
        return weights.flatMap((row) => row.slice(start, start + rows * columns));
      });
    }),
  );
}

describe.each([
  ["LLaVA", tinyFolder],
  ["LLaVA-NeXT, whose first tokens are the whole picture", tinyNextFolder],
])("a published %s", (_, folder) => {
  test("before and after the answer", async () => {
    using model = await openChatModel(folder);
    const picture = noise(4, 70, 40);
    const { answer, before, after, grid } = attendToPicture(model, picture, "what is it?", { maxNewTokens: 3 });
    expect(before).toMatchObject({ cells: grid.rows * grid.columns, heads: model.language.config.numAttentionHeads });
    expect(largestDifference(before.values, explicitOverPicture(model, picture, []))).toBeLessThan(1e-5);
    const answerIds = greedy(model, picture, 3);
    expect(answer).toBe(model.tokenizer.decode(answerIds, { skipSpecialTokens: true }).trim());
    expect(answerIds.length).toBeGreaterThan(0);
    expect(largestDifference(after.values, explicitOverPicture(model, picture, answerIds))).toBeLessThan(1e-5);
  });
});

/** Greedy tokens by whole forward passes. */
function greedy(model: ChatModel, picture: ReturnType<typeof noise>, count: number): number[] {
  const prompt = model.prompt(userSays("what is it?", picture));
  const ids: number[] = [];
  while (ids.length < count) {
    const next = noGrad(() =>
      tidy(() => {
        const inputIds = [...prompt.inputIds, ...ids];
        const embedded = embedPrompt(model, { ...prompt, inputIds }, [model.see(picture)]);
        const states = model.language.model.forward(embedded).select(1, -1);
        return model.language.logits(states).flatten().argmax(-1, true).toNumbers()[0]!;
      }),
    );
    if (model.stopIds.includes(next)) break;
    ids.push(next);
  }
  return ids;
}

test("chosen layers and heads are averaged; errors name those there are", () => {
  const values = Float32Array.from({ length: 2 * 3 * 2 }, (_, index) => index);
  const attention = new PictureAttention(2, 3, 2, values);
  expect(attention.mean()).toEqual([5, 6]);
  expect(attention.mean([1], [0, 2])).toEqual([8, 9]);
  expect(attention.byLayer([1])).toEqual([
    [2, 3],
    [8, 9],
  ]);
  expect(() => attention.mean([2])).toThrow(/no layer 2: the model's are 0 to 1/);
  expect(() => attention.mean("mean", [0.5])).toThrow(/no head 0.5: the model's are 0 to 2/);
  expect(() => attention.mean([])).toThrow(/no layer named/);
});

function largestDifference(found: ArrayLike<number>, wanted: readonly number[]): number {
  expect(found.length).toBe(wanted.length);
  return Math.max(...wanted.map((value, index) => Math.abs(value - found[index]!)));
}
