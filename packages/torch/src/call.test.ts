import { afterEach, expect, test } from "vitest";
import { call, defaultDevice, F, memory, type Tensor, tensor, tidy } from "./index.js";

const device = defaultDevice();
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

test("an operator without a generated method is called by name", () => {
  tidy(() => {
    const x = tensor([-2, 0.5, 3], { device });
    expect((call("aten::hardtanh", x, -1, 1) as Tensor).toNumbers()).toEqual([-1, 0.5, 1]);
    expect((call("aten::hardtanh", x) as Tensor).toNumbers()).toEqual([-1, 0.5, 1]); // defaults
    expect((call("aten::clamp", x, undefined, 1) as Tensor).toNumbers()).toEqual([-2, 0.5, 1]);
    expect((call("aten::clamp", x, null, 1) as Tensor).toNumbers()).toEqual([-2, 0.5, 1]);
  });
});

test("several results, lists of tensors, in-place results, results that are no tensors", () => {
  tidy(() => {
    const x = tensor([[3, 1], [2, 4]], { device }); // biome-ignore format: a matrix
    const [values, indices] = call("aten::min.dim", x, 1) as [Tensor, Tensor];
    expect(values.toNumbers()).toEqual([1, 2]);
    expect(indices.toNumbers()).toEqual([1, 0]);
    const parts = call("aten::unbind.int", x, 0) as Tensor[];
    expect(parts.map((part) => part.toNumbers())).toEqual([[3, 1], [2, 4]]); // biome-ignore format: a matrix
    expect((call("aten::cat", parts, 0) as Tensor).toNumbers()).toEqual([3, 1, 2, 4]);
    expect(call("aten::add_.Scalar", x, 1)).toBe(x);
    expect(x.toNumbers()).toEqual([4, 2, 3, 5]);
    expect(call("aten::equal", x, x)).toBe(true);
    expect(call("aten::dim", x)).toBe(2);
    expect(call("aten::_foreach_zero_", [x])).toBeUndefined();
    expect(x.toNumbers()).toEqual([0, 0, 0, 0]);
  });
});

test("dtypes and devices are strings; int lists, optional tensors in lists, booleans, text", () => {
  tidy(() => {
    const x = call("aten::full", [2, 3], 1.5, "float64", undefined, device) as Tensor;
    expect([x.dtype, x.shape, x.device]).toEqual(["float64", [2, 3], x.device]);
    const rows = tensor([1], { dtype: "int64", device });
    expect((call("aten::index.Tensor", x, [null, rows]) as Tensor).shape).toEqual([2, 1]);
    expect((call("aten::gelu", x, "tanh") as Tensor).shape).toEqual([2, 3]);
    expect((call("aten::sum.dim_IntList", x, [0], true) as Tensor).shape).toEqual([1, 3]);
  });
});

test("a whole number is an integer to an integer tensor, a fraction is not", () => {
  tidy(() => {
    const counts = tensor([1, 2], { dtype: "int64", device });
    expect(counts.add(1).dtype).toBe("int64");
    expect(counts.add(0.5).dtype).toBe("float32");
  });
});

test("an unknown operator is refused with its overloads, a wrong argument with its name", () => {
  expect(() => call("aten::no_such_operator")).toThrow(/libtorch has no such operator/);
  expect(() => call("aten::add.None")).toThrow(/It has: .*aten::add\.Tensor/);
  tidy(() => {
    const x = tensor([1], { device });
    expect(() => call("aten::relu", x, 1)).toThrow(/takes 1 arguments, got 2: aten::relu\(Tensor self\)/);
    expect(() => call("aten::relu")).toThrow(/#0 'self'/);
    expect(() => call("aten::reshape", x, "wide")).toThrow(/argument 'shape': expected an array/);
    expect(() => call("aten::narrow", x, 0.5, 0, 1)).toThrow(/argument 'dim': expected an integer, got 0.5/);
    expect(() => call("aten::cat", [x, 7], 0)).toThrow(/aten::cat: a tensor is expected, got the number 7/);
  });
});

test("an error names shapes and dtypes of every tensor, in lists too", () => {
  tidy(() => {
    const a = F.zeros([2, 3], "float32", device);
    const b = F.zeros([4, 5], "int64", device);
    expect(() => F.cat([a, b])).toThrow(/aten::cat\(tensors: \[\(2, 3\) float32, \(4, 5\) int64\]/);
  });
});
