import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { type DType, F, grad, manualSeed, memory, noGrad, Tensor, tensor, tidy } from "./index.js";

const before = memory().tensors;
afterAll(() => expect(memory().tensors).toBe(before));

test("the generated operators are those of scripts/operators.txt", () => {
  const script = join(dirname(dirname(fileURLToPath(import.meta.url))), "scripts", "generate.mjs");
  const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

test("a method has a function of its name, which gives what it gives", () => {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(Tensor.prototype)).filter((n) => n !== "constructor");
  expect(names).toEqual(expect.arrayContaining(["add", "layerNorm", "crossEntropyLoss", "conv2d", "var"]));
  expect(names.filter((name) => typeof F[name as keyof typeof F] !== "function")).toEqual([]);

  tidy(() => {
    const [x, weight] = [tensor([[1, 2, 4], [3, 5, 9]]), tensor([[0.5, -1, 2], [1, 0, -2]])]; // biome-ignore format: matrices
    const targets = tensor([2, 0], { dtype: "int64" });
    for (const [method, asFunction] of [
      [x.layerNorm([3], weight.select(0, 0)), F.layerNorm(x, [3], weight.select(0, 0))],
      [x.rmsNorm([3]), F.rmsNorm(x, [3])],
      [x.linear(weight), F.linear(x, weight)],
      [weight.embedding(tensor([1], { dtype: "int64" })), F.embedding(weight, tensor([1], { dtype: "int64" }))],
      [x.crossEntropyLoss(targets), F.crossEntropyLoss(x, targets)],
      [x.crossEntropyLoss(targets, null, 2), F.crossEntropyLoss(x, targets, null, 2)],
      [x.mul(2), F.mul(x, 2)],
      [x.mul(weight), F.mul(x, weight)],
      [x.sum(), F.sum(x)],
      [x.sum([1], true), F.sum(x, [1], true)],
      [x.var([1], 0), F.var(x, [1], 0)],
      [x.maxAlong(1)[1], F.maxAlong(x, 1)[1]],
      [x.split(2, 1)[1]!, F.split(x, 2, 1)[1]!],
      [x.zerosLike("int64"), F.zerosLike(x, "int64")],
    ] as const) {
      expect(asFunction.shape).toEqual(method.shape);
      expect(asFunction.toNumbers()).toEqual(method.toNumbers());
    }
    expect(F.equal(x, F.clone(x))).toBe(true);
  });
});

test("in place, both forms give their first argument back", () => {
  tidy(() => {
    const x = tensor([1, 2]);
    expect(F.add_(x, 1)).toBe(x);
    expect(F.mul_(x, tensor([10, 100]))).toBe(x);
    expect(x.clamp_(0, 250)).toBe(x);
    expect(x.toNumbers()).toEqual([20, 250]);
  });
});

test("a function refuses what is no tensor", () => {
  const numbers = [3, 1, 2] as unknown as Tensor; // which has a sort of its own
  expect(() => F.sort(numbers)).toThrow(/^aten::sort\(.*Expected a proper Tensor/);
});

const numbers = [2.5, -3, 0, 1 / 3, 1e-40, Number.NaN, Number.POSITIVE_INFINITY];
const operations = {
  add: (a: number, b: number) => a + b,
  sub: (a: number, b: number) => a - b,
  mul: (a: number, b: number) => a * b,
  div: (a: number, b: number) => a / b,
} as const;

test("float32 arithmetic with a number rounds the number once and the result once", () => {
  tidy(() => {
    for (const x of [tensor([1.7, -0.3, 1e30]), F.full([], 7, "float32")]) {
      for (const number of numbers) {
        for (const [name, operation] of Object.entries(operations)) {
          const apply = name as keyof typeof operations;
          const expected = x.toNumbers().map((value) => Math.fround(operation(value, Math.fround(number))));
          expect(x[apply](number).toNumbers()).toEqual(expected);
          expect(x.clone()[`${apply}_`](number).toNumbers()).toEqual(expected);
        }
      }
    }
  });
});

test("other dtypes keep theirs, or become float32, as in PyTorch", () => {
  tidy(() => {
    const dtypeOf = (dtype: DType, number: number) => tensor([3, 4]).to(dtype).mul(number).dtype;
    expect((["float64", "bfloat16", "int64"] as const).map((dtype) => dtypeOf(dtype, 2))).toEqual([
      "float64",
      "bfloat16",
      "int64",
    ]);
    expect(dtypeOf("int64", 0.5)).toBe("float32");
    expect(tensor([3]).to("float64").mul(0.1).item()).toBe(3 * 0.1);
    expect(tensor([3]).add(2, 0.5).item()).toBe(4); // alpha
  });
});

test("gradients pass through arithmetic with a number, and so do theirs", () => {
  tidy(() => {
    const x = tensor([2, 3]).setRequiresGrad(true);
    const [first] = grad([x.mul(x).mul(0.5).div(2).add(1).sub(4).sum()], [x], { createGraph: true });
    expect(first!.toNumbers()).toEqual([1, 1.5]);
    const [second] = grad([first!.sum()], [x]);
    expect(second!.toNumbers()).toEqual([0.5, 0.5]);
  });
});

test("what was made where no argument wants a gradient can want one later, and is guarded against change", () => {
  tidy(() => {
    const made = tensor([1, 2])
      .add(tensor([3, 4]))
      .mul(2)
      .setRequiresGrad(true);
    const doubled = F.cat([made, made], 0);
    doubled.square().sum().backward();
    expect(made.grad!.toNumbers()).toEqual([32, 48]);

    const plain = tensor([1, 2]).exp();
    const weight = tensor([3, 4]).setRequiresGrad(true);
    const product = plain.mul(weight).sum();
    plain.view([2, 1]).add_(1); // through a view: backward needs what it was
    expect(() => product.backward()).toThrow(/modified by an inplace operation/);
  });
});

test("one argument of several that wants a gradient is enough, in a list too", () => {
  tidy(() => {
    const [x, weight, bias] = [tensor([[1, 2]]), tensor([[3, 4]]), tensor([5]).setRequiresGrad(true)];
    F.cat([F.linear(x, weight, bias), x], 1)
      .sum()
      .backward();
    expect(bias.grad!.toNumbers()).toEqual([1]);
    expect(noGrad(() => F.linear(x, weight, bias)).requiresGrad).toBe(false);
  });
});

test("lists longer than the shared memory, several lists in a call, null in a list", () => {
  tidy(() => {
    const many = Array.from({ length: 1000 }, (_, i) => F.full([1], i));
    const joined = F.cat(many);
    expect(joined.toNumbers()).toEqual(many.map((_, i) => i));
    expect(joined.splitWithSizes(Array.from({ length: 500 }, () => 2))).toHaveLength(500);
    expect(F.conv2d(F.ones([1, 1, 5, 5]), F.ones([1, 1, 3, 3]), null, 2, [1, 1], 1).shape).toEqual([1, 1, 3, 3]);
    const rows = tensor([1, 0]).to("int64");
    expect(tensor([[1, 2], [3, 4]]).index([null, rows]).toNumbers()).toEqual([2, 1, 4, 3]); // biome-ignore format: a matrix
    expect(() => F.cat([F.ones([2]), F.ones([2, 2])])).toThrow(/tensors: \[\(2\) float32, \(2, 2\) float32\]/);
  });
});

test.each([
  [1, 1, 1],
  [1, 7, 5],
  [1, 4096, 130],
  [2, 16, 4],
  [3, 100, 301],
  [7, 41, 67],
  [133, 24, 14],
])("%d rows of bfloat16, %d values to %d: summed in float32", (rows, width, height) => {
  tidy(() => {
    manualSeed(4);
    const wide = F.randn([height, width + 3]).to("bfloat16");
    const weight = wide.narrow(1, 2, width); // rows that begin anywhere
    const bias = F.randn([height]).to("bfloat16");
    const x = F.randn([rows, 2, width]).to("bfloat16").select(1, 1);
    for (const added of [null, bias]) {
      const exact = F.linear(x.to("float64"), weight.to("float64"), added?.to("float64"));
      const got = noGrad(() => F.linear(x, weight, added));
      expect(got.shape).toEqual([rows, height]);
      expect(got.dtype).toBe("bfloat16");
      // One row is rounded once; where libtorch multiplies the others, it may round before it adds the bias too.
      const product = F.linear(x.to("float64"), weight.to("float64")).abs();
      const rounded = rows === 1 ? exact.abs() : exact.abs().add(product);
      const beyond = got
        .to("float64")
        .sub(exact)
        .abs()
        .sub(rounded.mul(2 ** -8));
      expect(beyond.amax().item()).toBeLessThan(1e-4); // half of its last place, and what float32 loses
    }
    expect(noGrad(() => F.linear(x.view([rows, 1, 1, width]), weight)).shape).toEqual([rows, 1, 1, height]);
    expect(noGrad(() => F.linear(x.select(0, 0), weight)).shape).toEqual([height]);
  });
});

test("what a product of bfloat16 gives without gradients can be learned from afterwards", () => {
  tidy(() => {
    const frozen = F.ones([3, 24]).to("bfloat16");
    const features = noGrad(() => F.linear(frozen, frozen));
    const weight = F.ones([1, 3]).to("bfloat16").setRequiresGrad(true);
    F.linear(features, weight).sum().backward();
    expect(weight.grad!.to("float32").toNumbers()).toEqual([72, 72, 72]);
  });
});

test.each([1, 3])("%d rows of bfloat16 have their gradients", (rows) => {
  tidy(() => {
    const x = F.randn([rows, 24]).to("bfloat16");
    const weight = F.randn([5, 24]).to("bfloat16").setRequiresGrad(true);
    F.linear(x, weight).sum().backward();
    expect(weight.grad!.to("float32").toNumbers()).toEqual(x.sum([0]).to("float32").expand([5, 24]).toNumbers());
  });
});

test("the fused optimizer refuses tensors that do not go together", () => {
  tidy(() => {
    const ones = (shape: number[], dtype: DType = "float32") => F.ones(shape, dtype);
    const step = (gradient: Tensor, mean = ones([2, 3]), steps = [ones([])]) =>
      F.fusedAdamw_(
        [ones([2, 3])],
        [gradient],
        [mean],
        [ones([2, 3])],
        [],
        steps,
        0.1,
        0.9,
        0.9,
        0,
        1e-8,
        false,
        false,
      );
    step(ones([2, 3]));
    expect(() => step(ones([1]))).toThrow(/grads\[0\] is \[1\], its parameter \[2, 3\]/);
    expect(() => step(ones([2, 3], "float64"))).toThrow(/another dtype/);
    expect(() => step(ones([3, 2]).transpose(0, 1))).toThrow(/lies otherwise in memory/);
    expect(() => step(ones([2, 3]), ones([2]))).toThrow(/exp_avgs\[0\]/);
    expect(() => step(ones([2, 3]), ones([2, 3]), [])).toThrow(/state_steps: there are 0 for 1/);
  });
});
