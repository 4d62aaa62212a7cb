import { afterEach, expect, test } from "vitest";
import { defaultDevice, F, grad, manualSeed, memory, nn, noGrad, type Tensor, tensor, tidy } from "../index.js";
import { expectClose } from "../testing/close.js";

const device = defaultDevice();
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

/** softmax(q kᵀ · scale + mask) v in plain operators; key and value have as many heads as query. */
function composed(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | undefined, scale: number): Tensor {
  const scores = query.matmul(key.transpose(-2, -1)).mul(scale);
  return (mask ? scores.add(mask) : scores).softmax(-1).matmul(value);
}

function causalMask(queries: number, keys: number): Tensor {
  const future = F.ones([queries, keys], "bool", device).triu(1);
  return F.zeros([queries, keys], "float32", device).maskedFill(future, Number.NEGATIVE_INFINITY);
}

test.each([
  { what: "plain", options: {} },
  { what: "causal", options: { causal: true } },
  { what: "scaled", options: { scale: 0.3 } },
  { what: "masked", options: {}, masked: true },
])("fused attention equals the composed one, gradients too: $what", ({ options, masked }) => {
  tidy(() => {
    manualSeed(1);
    const [batch, heads, queries, keys, headDim] = [2, 6, 7, masked ? 5 : 7, 8];
    const leaf = (shape: number[]) => F.randn(shape, "float32", device).setRequiresGrad(true);
    const query = leaf([batch, heads, queries, headDim]);
    const key = leaf([batch, heads, keys, headDim]);
    const value = leaf([batch, heads, keys, headDim]);
    const given = masked ? F.randn([batch, 1, queries, keys], "float32", device) : undefined;
    const fused = nn.attend(query, key, value, { ...options, mask: given });
    const mask = "causal" in options ? causalMask(queries, keys) : given;
    const scale = "scale" in options ? options.scale! : headDim ** -0.5;
    const plain = composed(query, key, value, mask, scale);
    expectClose(fused, plain, { rtol: 1e-5, atol: 1e-6 }, "output");
    const weights = F.randn(fused.shape, "float32", device);
    const leaves = [query, key, value];
    const got = grad([fused], leaves, { gradients: [weights] });
    const want = grad([plain], leaves, { gradients: [weights] });
    for (const i of leaves.keys()) expectClose(got[i]!, want[i]!, { rtol: 1e-4, atol: 1e-5 }, `gradient ${i}`);
  });
});

test.each([
  { queries: 1, keys: 1, keyDim: 8, valueDim: 8 },
  { queries: 1, keys: 300, keyDim: 128, valueDim: 128 },
  { queries: 3, keys: 77, keyDim: 72, valueDim: 72 },
  { queries: 5, keys: 13, keyDim: 21, valueDim: 11 },
  { queries: 17, keys: 40, keyDim: 64, valueDim: 64 },
])("few queries over keys of bfloat16 ($queries, $keys of $keyDim and $valueDim)", (sizes) => {
  const { queries, keys, keyDim, valueDim } = sizes;
  tidy(() => {
    manualSeed(2);
    const [batch, heads, room] = [2, 3, keys + 5];
    const half = (shape: number[]) => F.randn(shape).to("bfloat16");
    const query = half([batch, queries, heads, keyDim]).transpose(1, 2);
    const key = half([batch, heads, room, keyDim]).narrow(2, 2, keys); // as a cache with room for more has them
    const value = half([batch, heads, room, valueDim]).narrow(2, 3, keys);
    const [exactQuery, exactKey, exactValue] = [query, key, value].map((x) => x.to("float64"));
    for (const scale of [undefined, 0.7]) {
      const found = noGrad(() => nn.attend(query, key, value, scale === undefined ? {} : { scale }));
      expect([found.dtype, found.shape]).toEqual(["bfloat16", [batch, heads, queries, valueDim]]);
      const exact = composed(exactQuery!, exactKey!, exactValue!, undefined, scale ?? keyDim ** -0.5);
      expectClose(found.to("float64"), exact, { rtol: 2 ** -7, atol: queries > 16 ? 1e-2 : 1e-5 }, `scale ${scale}`);
    }
  });
});

test("few queries of bfloat16 have their gradients", () => {
  tidy(() => {
    const [query, key, value] = [1, 4, 4].map((count) =>
      F.randn([1, 2, count, 8]).to("bfloat16").setRequiresGrad(true),
    );
    nn.attend(query!, key!, value!).sum().backward();
    const shares = value!.grad!.to("float32").sum([2]); // the weights of one query's keys add up to one
    expectClose(shares, F.ones([1, 2, 8]), { rtol: 0, atol: 0.02 }, "gradient of the values");
  });
});

test("a boolean mask allows", () => {
  tidy(() => {
    const query = F.randn([1, 2, 3, 4], "float32", device);
    const allowed = tensor([[true, false, false]], { dtype: "bool", device });
    const output = nn.attend(query, query, query, { mask: allowed });
    for (const i of [0, 1, 2]) {
      expectClose(output.narrow(2, i, 1), query.narrow(2, 0, 1), { rtol: 1e-6, atol: 1e-6 }, `query ${i}`);
    }
  });
});

test("fewer key heads serve consecutive query heads", () => {
  tidy(() => {
    const query = F.randn([2, 6, 5, 4], "float32", device);
    const key = F.randn([2, 2, 5, 4], "float32", device);
    const value = F.randn([2, 2, 5, 4], "float32", device);
    const repeated = (x: Tensor) => x.repeatInterleave(3, 1);
    const grouped = nn.attend(query, key, value, { causal: true });
    const whole = nn.attend(query, repeated(key), repeated(value), { causal: true });
    expectClose(grouped, whole, { rtol: 1e-5, atol: 1e-6 });
  });
});

test("heads are split and merged without changing anything", () => {
  tidy(() => {
    const x = F.arange(0, 48, 1, "float32", device).view([2, 3, 8]);
    const split = nn.splitHeads(x, 4);
    expect(split.shape).toEqual([2, 4, 3, 2]);
    expect(split.select(1, 1).select(0, 0).toNumbers()).toEqual([2, 3, 10, 11, 18, 19]);
    expect(nn.mergeHeads(split).equal(x)).toBe(true);
  });
});

test.each(["float32", "float64", "bfloat16"] as const)("attention in %s refuses what does not go together", (dtype) => {
  tidy(() => {
    const ones = (...shape: number[]) => F.ones(shape, dtype);
    const attention = F.scaledDotProductAttention;
    expect(() => attention(ones(1, 1, 40, 64), ones(1, 1, 1, 64), ones(1, 1, 3_000_000, 64))).toThrow(
      /as many keys as/,
    );
    expect(() => attention(ones(1, 2, 3, 8), ones(1, 2, 5, 8), ones(1, 2, 4, 8))).toThrow(/as many keys as values/);
    expect(() => attention(ones(1, 2, 3, 8), ones(1, 2, 5, 4), ones(1, 2, 5, 8))).toThrow(/the same width/);
    expect(() => attention(ones(1, 2, 3, 8), ones(1, 3, 5, 8), ones(1, 3, 5, 8))).toThrow(/in dimension 1: 2 and 3/);
    const keys = ones(1, 2, 5, 8);
    expect(() => attention(ones(1, 2, 3, 8), keys, keys, F.ones([4, 5], "bool"))).toThrow(/does not broadcast/);
    expect(attention(ones(1, 4, 3, 8), keys, keys, null, 0, false, null, true).shape).toEqual([1, 4, 3, 8]);
    expect(() => attention(ones(1, 3, 3, 8), keys, keys, null, 0, false, null, true)).toThrow(/do not go together/);
  });
});
