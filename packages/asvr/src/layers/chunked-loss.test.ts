import { F, manualSeed, memory, noGrad, setThreads, type Tensor, tidy } from "@asvr/torch";
import { expectClose, type Tolerance } from "@asvr/torch/testing";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { accumulateLinearNll, type LinearNll, linearNll } from "./chunked-loss.js";
import { gradField } from "./gradient-sink.js";

setThreads(1); // test files run side by side
const close = { rtol: 1e-5, atol: 1e-5 };
const before = memory();
afterAll(() => expect(memory()).toEqual(before));

interface Sizes {
  rows: number;
  dim: number;
  classes: number;
}

interface Inputs {
  x: Tensor;
  weight: Tensor;
  bias: Tensor | null;
  targets: Tensor;
}

/** The same by autograd, with whole logits. */
function wholeNll(x: Tensor, weight: Tensor, bias: Tensor | null, targets: Tensor): LinearNll {
  const logits = F.linear(x, weight, bias).to("float32");
  return { nll: logits.crossEntropyLoss(targets, undefined, 2), correct: logits.argmax(-1).eq(targets).sum() };
}

/** Random inputs; those named in `learned` want a gradient. */
function randomInputs({ rows, dim, classes }: Sizes, learned: readonly string[], hasBias = true): Inputs {
  const leaf = (name: string, shape: number[]) => F.randn(shape).setRequiresGrad(learned.includes(name));
  return {
    x: leaf("x", [rows, dim]),
    weight: leaf("weight", [classes, dim]),
    bias: hasBias ? leaf("bias", [classes]) : null,
    targets: F.rand([rows]).mul(classes).to("int64"),
  };
}

/** Losses and gradients of both are equal, also where the loss is one term of another. */
function expectEqual(found: LinearNll, whole: LinearNll, { x, weight, bias }: Inputs, tolerance: Tolerance): void {
  expectClose(found.nll, whole.nll, tolerance, "loss");
  expect(found.correct.item()).toBe(whole.correct.item());
  expect(found.nll.dtype).toBe("float32");
  expect(found.nll.requiresGrad).toBe(whole.nll.requiresGrad);
  if (!whole.nll.requiresGrad) return;
  const gradientsOf = (nll: Tensor) => {
    for (const input of [x, weight, bias]) if (input) input.grad = null;
    nll.mul(-0.3).backward();
    return { x: x.grad, weight: weight.grad, bias: bias?.grad ?? null };
  };
  const [actual, expected] = [gradientsOf(found.nll), gradientsOf(whole.nll)];
  for (const [name, gradient] of Object.entries(expected)) {
    const other = actual[name as keyof typeof actual];
    expect(other === null, `gradient of ${name}`).toBe(gradient === null);
    if (gradient) expectClose(other!, gradient, tolerance, `gradient of ${name}`);
  }
}

test("chunks of any size give the whole loss and its gradients, whatever is frozen", () => {
  const anyCase = fc.record({
    rows: fc.integer({ min: 1, max: 17 }),
    dim: fc.integer({ min: 1, max: 7 }),
    classes: fc.integer({ min: 1, max: 9 }),
    chunkRows: fc.integer({ min: 1, max: 20 }),
    learned: fc.subarray(["x", "weight", "bias"]),
    hasBias: fc.boolean(),
  });
  fc.assert(
    fc.property(anyCase, ({ chunkRows, learned, hasBias, ...sizes }) => {
      tidy(() => {
        const inputs = randomInputs(sizes, learned, hasBias);
        const { x, weight, bias, targets } = inputs;
        const found = linearNll(x, weight, bias, targets, { chunkRows });
        expectEqual(found, wholeNll(x, weight, bias, targets), inputs, close);
      });
    }),
  );
});

test("the loss is −log softmax of the target, summed", () => {
  tidy(() => {
    const { x, weight, bias, targets } = randomInputs({ rows: 5, dim: 3, classes: 4 }, []);
    const probabilities = x.matmul(weight.t()).add(bias!).softmax(-1).gather(1, targets.unsqueeze(1));
    expectClose(linearNll(x, weight, bias, targets, { chunkRows: 2 }).nll, probabilities.log().sum().neg(), close);
  });
});

test("the gradient goes on to what x was computed from", () => {
  tidy(() => {
    const { x, weight, bias, targets } = randomInputs({ rows: 7, dim: 3, classes: 5 }, ["x", "weight"]);
    const gradientOf = (loss: (input: Tensor) => LinearNll) => {
      x.grad = null;
      loss(x.mul(2).tanh()).nll.backward();
      return x.grad!;
    };
    const found = gradientOf((input) => linearNll(input, weight, bias, targets, { chunkRows: 3 }));
    expectClose(
      found,
      gradientOf((input) => wholeNll(input, weight, bias, targets)),
      close,
    );
  });
});

test("accumulated, gradients of weight and bias are added where they are, and that of x is returned", () => {
  tidy(() => {
    const { x, weight, bias, targets } = randomInputs({ rows: 7, dim: 3, classes: 5 }, ["x", "weight", "bias"]);
    const clear = () => {
      for (const input of [x, weight, bias!]) input.grad = null;
    };
    for (let pass = 0; pass < 2; pass++) wholeNll(x, weight, bias, targets).nll.mul(0.3).backward();
    const expected = [x, weight, bias!].map((input) => input.grad!.clone());
    for (const chunkRows of [3, 7]) {
      clear();
      const options = { chunkRows, scale: 0.3, into: gradField };
      accumulateLinearNll(x, weight, bias, targets, options);
      const { nll, correct, gradient } = accumulateLinearNll(x, weight, bias, targets, options);
      expect(x.grad).toBeNull();
      expectClose(gradient!.mul(2), expected[0]!, close);
      expectClose(weight.grad!, expected[1]!, close);
      expectClose(bias!.grad!, expected[2]!, close);
      const whole = wholeNll(x, weight, bias, targets);
      expectClose(nll, whole.nll, close);
      expect(nll.requiresGrad).toBe(false);
      expect(correct.item()).toBe(whole.correct.item());
    }
    clear();
    const frozen = noGrad(() => accumulateLinearNll(x, weight, bias, targets, { scale: 0.3, into: gradField }));
    expect([frozen.gradient, weight.grad, bias!.grad]).toEqual([null, null, null]);
  });
});

test("a loss that is not accumulated writes no gradient before backward, however often it is taken", () => {
  tidy(() => {
    const { x, weight, bias, targets } = randomInputs({ rows: 7, dim: 3, classes: 5 }, ["x", "weight", "bias"]);
    const inputs = [x, weight, bias!];
    const gradients = [1, 2].map(() => {
      const { nll } = linearNll(x, weight, bias, targets, { chunkRows: 3 });
      linearNll(x, weight, bias, targets, { chunkRows: 3 });
      for (const input of inputs) expect(input.grad).toBeNull();
      nll.backward();
      return inputs.map((input) => {
        const found = input.grad!.toNumbers();
        input.grad = null;
        return found;
      });
    });
    expect(gradients[1]).toEqual(gradients[0]);
  });
});

test("of bfloat16 inputs the softmax and the sums over chunks are float32", () => {
  manualSeed(3);
  tidy(() => {
    const { x, weight, targets } = randomInputs({ rows: 600, dim: 8, classes: 6 }, []);
    const narrow = (wide: Tensor) => wide.to("bfloat16").setRequiresGrad(true);
    const inputs = { x: narrow(x), weight: narrow(weight), bias: null, targets };
    const exact = { x: inputs.x.detach().to("float32"), weight: inputs.weight.detach().to("float32") };
    for (const input of Object.values(exact)) input.setRequiresGrad(true);

    const found = linearNll(inputs.x, inputs.weight, null, targets, { chunkRows: 1 });
    expectEqual(found, wholeNll(inputs.x, inputs.weight, null, targets), inputs, { rtol: 2e-2, atol: 5e-2 });
    // 600 chunks summed in bfloat16, of 8 bits, would be off by whole units.
    inputs.weight.grad = null;
    linearNll(inputs.x, inputs.weight, null, targets, { chunkRows: 1 }).nll.backward();
    wholeNll(exact.x, exact.weight, null, targets).nll.backward();
    expect(inputs.weight.grad!.dtype).toBe("bfloat16");
    expectClose(inputs.weight.grad!, exact.weight.grad!, { rtol: 1e-2, atol: 0.2 });
  });
});

test("without gradients, as in evaluation, it is the same number", () => {
  tidy(() => {
    const inputs = randomInputs({ rows: 7, dim: 3, classes: 5 }, ["x", "weight", "bias"]);
    const { x, weight, bias, targets } = inputs;
    noGrad(() =>
      expectEqual(
        linearNll(x, weight, bias, targets, { chunkRows: 2 }),
        wholeNll(x, weight, bias, targets),
        inputs,
        close,
      ),
    );
  });
});

test("no rows are a loss of 0", () => {
  tidy(() => {
    const inputs = randomInputs({ rows: 0, dim: 3, classes: 5 }, ["x", "weight"]);
    const { x, weight, bias, targets } = inputs;
    for (const { nll, correct } of [
      linearNll(x, weight, bias, targets),
      linearNll(x, weight, bias, targets, { chunkRows: 2 }),
    ]) {
      expect([nll.item(), correct.item()]).toEqual([0, 0]);
    }
  });
});

test("a product of many classes, made some at a time, is the whole one", () => {
  tidy(() => {
    for (const hasBias of [true, false]) {
      const inputs = randomInputs({ rows: 5, dim: 3, classes: 2_500 }, ["x", "weight", "bias"], hasBias);
      const { x, weight, bias, targets } = inputs;
      expectEqual(linearNll(x, weight, bias, targets), wholeNll(x, weight, bias, targets), inputs, close);
    }
  });
});

test("logits too many to be held at once give the same, and two tensors are left", () => {
  tidy(() => {
    // 17 Mi logits; only their chunks are ever made, of 3,640 rows each
    const inputs = randomInputs({ rows: 3_868, dim: 2, classes: 4_609 }, ["x"], false);
    const { x, weight, targets } = inputs;
    const held = memory().tensors;
    const found = linearNll(x, weight, null, targets);
    expect(memory().tensors).toBe(held + 2);
    expectEqual(found, wholeNll(x, weight, null, targets), inputs, { rtol: 1e-4, atol: 1e-3 });
  });
});
