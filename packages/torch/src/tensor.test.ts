import { expect, test } from "vitest";
import { DisposedError, F, memory, nn, noGrad, TorchError, tensor, tidy } from "./index.js";

test("a failed operator names itself and its arguments", () => {
  using a = tensor([
    [1, 2],
    [3, 4],
  ]);
  using b = tensor([1, 2, 3]);
  expect(() => a.mm(b)).toThrow(TorchError);
  expect(() => a.mm(b)).toThrow(/aten::mm\(self: \(2, 2\) float32, mat2: \(3\) float32\)/);
});

test("use after dispose says so", () => {
  const a = tensor([1, 2]);
  a.shape;
  a.dispose();
  expect(() => a.add(1)).toThrow(DisposedError);
  expect(() => a.add(1)).toThrow(/\(2\)/);
});

test("tidy frees all but what it returns, also when it throws", () => {
  const before = memory().tensors;
  const kept = tidy(() => {
    const a = tensor([1, 2, 3]);
    return { sum: a.mul(2).add(1) };
  });
  expect(kept.sum.toNumbers()).toEqual([3, 5, 7]);
  expect(memory().tensors).toBe(before + 1);
  kept.sum.dispose();
  expect(() =>
    tidy(() =>
      tensor([1]).add(
        tensor([
          [1, 2],
          [3, 4],
          [5, 6],
        ]).mm(tensor([[1]])),
      ),
    ),
  ).toThrow(TorchError);
  expect(() => tidy(async () => 1)).toThrow(TypeError);
  expect(memory().tensors).toBe(before);
});

test("backward reaches the leaves of a fused module under the checkpoint's names", () => {
  const before = memory().tensors;
  const fused = new nn.FusedLinear(3, { q_proj: 2, k_proj: 4 });
  tidy(() => {
    const [q, k] = fused.forward(F.ones([5, 3])) as [ReturnType<typeof tensor>, ReturnType<typeof tensor>];
    q.sum().add(k.sum().mul(2)).backward();
    const gradients = fused.gradients();
    expect([...gradients.keys()]).toEqual(["q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias"]);
    expect(gradients.get("k_proj.weight")!.toNumbers()).toEqual(Array(12).fill(10));
    expect(noGrad(() => fused.forwardWhole(F.ones([1, 3])).requiresGrad)).toBe(false);
  });
  fused.dispose();
  expect(memory().tensors).toBe(before);
});
