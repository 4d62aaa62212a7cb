import { expect, test } from "vitest";
import { defaultDevice, F, memory, optim, type Tensor, tensor, tidy } from "../index.js";

const device = defaultDevice();

function withGradient(values: number[], dtype: "float32" | "bfloat16" | "float64" = "float32"): Tensor {
  const parameter = F.zeros([values.length], dtype, device).setRequiresGrad(true);
  parameter.grad = tensor(values, { dtype, device });
  return parameter;
}

test("gradients above the norm are scaled together, below it left as they are", () => {
  const before = memory().tensors;
  tidy(() => {
    const parameters = [withGradient([3, 0]), withGradient([4]), F.zeros([2]).setRequiresGrad(true)];
    expect(optim.clipGradNorm(parameters, 10)).toBeCloseTo(5, 6);
    expect(parameters[0]!.grad!.toNumbers()).toEqual([3, 0]);
    expect(optim.clipGradNorm(parameters, 1)).toBeCloseTo(5, 6);
    expect(parameters[0]!.grad!.toNumbers()[0]).toBeCloseTo(0.6, 5);
    expect(parameters[1]!.grad!.toNumbers()[0]).toBeCloseTo(0.8, 5);
    expect(optim.clipGradNorm(parameters.slice(2), 1)).toBe(0);
  });
  expect(memory().tensors).toBe(before);
});

test("a norm of bfloat16 gradients is computed in float32", () => {
  tidy(() => {
    const parameters = [withGradient(Array(1000).fill(1), "bfloat16")];
    expect(optim.clipGradNorm(parameters, 100)).toBeCloseTo(Math.sqrt(1000), 4); // bfloat16 would say 31.625
  });
});

test("a gradient that is not finite shows in the norm", () => {
  tidy(() => expect(optim.clipGradNorm([withGradient([1, Number.NaN])], 1)).toBeNaN());
  tidy(() =>
    expect(optim.clipGradNorm([withGradient([1, Number.POSITIVE_INFINITY])], 1)).toBe(Number.POSITIVE_INFINITY),
  );
});
