import { afterEach, expect, test } from "vitest";
import {
  DisposedError,
  DtypeError,
  defaultDevice,
  F,
  grad,
  memory,
  ShapeError,
  TorchError,
  tensor,
  tidy,
  withGradients,
} from "./index.js";

const device = defaultDevice();
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

test("a failed operator names itself and its arguments", () => {
  using a = tensor([[1, 2], [3, 4]]); // biome-ignore format: a matrix
  using b = tensor([1, 2, 3]);
  expect(() => a.mm(b)).toThrow(TorchError);
  expect(() => a.mm(b)).toThrow(/aten::mm\(self: \(2, 2\) float32, mat2: \(3\) float32\)/);
});

test("use after dispose says so, in every position", () => {
  const a = tensor([1, 2]);
  a.shape;
  a.dispose();
  using b = tensor([1, 2]);
  expect(() => a.add(1)).toThrow(DisposedError);
  expect(() => a.add(1)).toThrow(/\(2\)/);
  expect(() => b.add(a)).toThrow(DisposedError);
  expect(() => F.cat([b, a])).toThrow(DisposedError);
  expect(() => a.data()).toThrow(DisposedError);
  expect(() => a.backward()).toThrow(DisposedError);
  expect(String(a)).toBe("Tensor (freed)");
});

test("from nested arrays, numbers and typed arrays", () => {
  tidy(() => {
    expect(tensor(5).shape).toEqual([]);
    expect(tensor(5).item()).toBe(5);
    expect(tensor([]).shape).toEqual([0]);
    const cube = tensor([[[1], [2]], [[3], [4]]]); // biome-ignore format: a cube
    expect([cube.shape, cube.dtype, cube.toNumbers()]).toEqual([[2, 2, 1], "float32", [1, 2, 3, 4]]);
    expect(tensor([1, 2], { dtype: "int64" }).data()).toEqual(BigInt64Array.of(1n, 2n));
    expect(tensor(Int32Array.of(1, 2, 3, 4), { shape: [2, 2], dtype: "float64" }).dtype).toBe("float64");
    expect(() => tensor([[1, 2], [3]])).toThrow(ShapeError);
    expect(() => tensor(Float32Array.of(1, 2, 3), { shape: [2, 2] })).toThrow(
      /3 values do not fill the shape \(2, 2\)/,
    );
  });
});

test("what is no tensor of numbers is refused, with the place where it is", () => {
  const refused = (values: unknown, shape?: unknown) => () => tensor(values as number, { shape: shape as number[] });
  expect(refused([[1, 2], [3, 4, 5], [6]])).toThrow(/^tensor: at \[1\]: an array of 3, where the first .* array of 2$/); // biome-ignore format: a matrix
  expect(refused([1, [2]])).toThrow(/^tensor: at \[1\]: an array of 1, where the first of its level is a number/);
  expect(refused([[1], [2], 3])).toThrow(ShapeError);
  expect(refused([[1, "2"]])).toThrow(/^tensor: at \[0\]\[1\]: numbers and booleans are taken, got string/);
  for (const none of [null, undefined, "3", {}, [null], [undefined], [3n]]) expect(refused(none)).toThrow(DtypeError);
  const itself: unknown[] = [];
  itself.push(itself);
  expect(refused(itself)).toThrow(/more than 64 levels/);

  for (const array of [new BigUint64Array(2), new Uint8ClampedArray(2), new DataView(new ArrayBuffer(8))]) {
    expect(refused(array)).toThrow(/^no dtype has the numbers of this: (BigUint64Array|Uint8ClampedArray|DataView)/);
  }
  for (const shape of [[-2, -3], [1.5, 4], [Number.NaN], [2 ** 53, 0], 6, new Array(1e9)]) {
    expect(refused(new Float32Array(6), shape)).toThrow(ShapeError);
  }
  expect(refused(new Float32Array(0), [2 ** 31, 2 ** 33, 0])).toThrow(TorchError);
});

test("an array is copied in and out", () => {
  tidy(() => {
    const values = Float32Array.of(1, 2);
    const x = tensor(values);
    values[0] = 9;
    expect(x.toNumbers()).toEqual([1, 2]);
    const out = x.data();
    out[0] = 7;
    expect(x.toNumbers()).toEqual([1, 2]);
    expect(x.copyFrom(Float32Array.of(5, 6)).toNumbers()).toEqual([5, 6]);
    expect(() => x.copyFrom(Float32Array.of(5))).toThrow(/4 bytes, the tensor 8/);
    const transposed = tensor([[1, 2, 3], [4, 5, 6]]).transpose(0, 1); // biome-ignore format: a matrix
    expect(transposed.toNumbers()).toEqual([1, 4, 2, 5, 3, 6]);
    expect(() => transposed.copyFrom(new Float32Array(6))).toThrow(/contiguous/);
  });
});

test("an array is copied into a tensor of its dtype only; what is not 0 is true", () => {
  tidy(() => {
    const x = tensor([1, 2]);
    expect(() => x.copyFrom(Int32Array.of(5, 6))).toThrow(
      /^copyFrom: the tensor is float32, the array's numbers are int32/,
    );
    expect(x.toNumbers()).toEqual([1, 2]);
    expect(F.zeros([2], "bool").copyFrom(Uint8Array.of(2, 0)).toNumbers()).toEqual([1, 0]);
    expect(F.zeros([1], "bfloat16").copyFrom(Uint16Array.of(0x3f80)).toNumbers()).toEqual([1]);
  });
});

test("gradients have the shapes of what they are gradients of", () => {
  tidy(() => {
    const x = F.ones([2, 3]).setRequiresGrad(true);
    const doubled = x.mul(2);
    for (const shape of [[3], [], [4, 2, 3]]) {
      expect(() => doubled.backward(F.ones(shape))).toThrow(ShapeError);
      expect(() => grad([doubled], [x], { gradients: [F.ones(shape)] })).toThrow(ShapeError);
    }
    expect(() => grad([doubled], [x], { gradients: [] })).toThrow(/^grad: 1 tensors were given 0 gradients/);
    expect(() => grad([], [x])).toThrow(ShapeError);
    expect(() => withGradients(F.ones([]), [x], [])).toThrow(/^withGradients: 1 tensors were given 0 gradients/);
    expect(() => (x.grad = F.ones([5]))).toThrow(/shape \(2, 3\) was given a gradient of shape \(5\)/);
    expect(() => (x.grad = F.ones([2, 3], "int64"))).toThrow(DtypeError);
    expect(() => doubled.backward()).toThrow(TorchError);
    expect(() => F.ones([]).backward()).toThrow(/^backward: element 0 of tensors does not require grad/);
    expect(x.grad).toBeNull();
  });
});

test("shape, size, element count, text", () => {
  tidy(() => {
    const x = F.zeros([2, 3, 4], "bfloat16");
    expect([x.size(0), x.size(-1), x.elementCount]).toEqual([2, 4, 24]);
    expect(() => x.size(3)).toThrow(ShapeError);
    expect(String(x)).toBe("Tensor (2, 3, 4) bfloat16 on cpu");
  });
});

test("to converts dtype and device together, and is the same data where nothing changes", () => {
  tidy(() => {
    const x = tensor([1.7, -1.2]);
    expect(x.to("int64").toNumbers()).toEqual([1, -1]);
    const moved = x.to({ dtype: "float64", device });
    expect([moved.dtype, moved.device.split(":")[0]]).toEqual(["float64", device.split(":")[0]]);
    x.to("float32").fill_(3);
    expect(x.toNumbers()).toEqual([3, 3]);
    expect(() => x.to("float33" as never)).toThrow(DtypeError);
  });
});

test("gradients accumulate at the leaves, can be set and dropped", () => {
  tidy(() => {
    const x = tensor([2, 3], { device }).setRequiresGrad(true);
    expect(x.grad).toBeNull();
    x.square().sum().backward();
    x.square().sum().backward();
    expect(x.grad!.toNumbers()).toEqual([8, 12]);
    x.grad = tensor([1, 1], { device });
    expect(x.grad.toNumbers()).toEqual([1, 1]);
    x.grad = null;
    expect(x.grad).toBeNull();
    x.mul(2).backward(tensor([1, 10], { device }));
    expect(x.grad!.toNumbers()).toEqual([2, 20]);
    expect(() => x.mul(2).backward()).toThrow(/scalar/);
  });
});

test("a graph is used once, or kept", () => {
  tidy(() => {
    const x = tensor([2], { device }).setRequiresGrad(true);
    const y = x.pow(3).sum();
    y.backward(undefined, { retainGraph: true });
    y.backward();
    expect(x.grad!.toNumbers()).toEqual([24]);
    expect(() => y.backward()).toThrow(/backward through the graph a second time/);
  });
});

test("grad gives gradients without touching .grad, null where there are none, and higher ones", () => {
  tidy(() => {
    const x = tensor([2], { device }).setRequiresGrad(true);
    const unused = tensor([1], { device }).setRequiresGrad(true);
    const [first, none] = grad([x.pow(3).sum()], [x, unused], { createGraph: true });
    expect([first!.toNumbers(), none]).toEqual([[12], null]);
    const [second] = grad([first!.sum()], [x]);
    expect(second!.toNumbers()).toEqual([12]);
    expect(x.grad).toBeNull();
    const [weighted] = grad([x.mul(3)], [x], { gradients: [tensor([5], { device })] });
    expect(weighted!.toNumbers()).toEqual([15]);
  });
});
