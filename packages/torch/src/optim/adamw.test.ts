import { expect, test } from "vitest";
import { CheckpointError, defaultDevice, F, memory, nn, optim, type Tensor, tensor, tidy } from "../index.js";

const device = defaultDevice();

function weights(...shapes: number[][]): [string, Tensor][] {
  return shapes.map((shape, i) => [`w${i}`, F.randn(shape, undefined, device).setRequiresGrad(true)]);
}

function giveGradients(parameters: [string, Tensor][], step: number): void {
  for (const [index, [, parameter]] of parameters.entries()) {
    using gradient = parameter
      .detach()
      .onesLike()
      .mul(0.1 * (index + 1) * Math.cos(step));
    parameter.grad = gradient;
  }
}

const free = (parameters: [string, Tensor][]) => {
  for (const [, parameter] of parameters) parameter.dispose();
};

test("a parameter without a gradient keeps its values and has no state", () => {
  const parameters = weights([3], [2, 2]);
  using optimizer = new optim.AdamW(parameters);
  const before = parameters[1]![1].toNumbers();
  giveGradients(parameters.slice(0, 1), 1);
  optimizer.step(0.1);
  expect(parameters[1]![1].toNumbers()).toEqual(before);
  tidy(() => expect([...optimizer.stateDict().keys()]).toEqual(["w0.exp_avg", "w0.exp_avg_sq", "w0.step"]));
  optimizer.zeroGrad();
  expect(parameters[0]![1].grad).toBeNull();
  free(parameters);
});

test("groups have their own weight decay and learning rate", () => {
  const parameters = weights([4], [4], [4]);
  const start = parameters.map(([, parameter]) => parameter.toNumbers());
  using optimizer = new optim.AdamW(
    [
      { parameters: parameters.slice(0, 1) },
      { parameters: parameters.slice(1, 2), weightDecay: 0 },
      { parameters: parameters.slice(2), weightDecay: 0, learningRateScale: 0 },
    ],
    { weightDecay: 0.5 },
  );
  for (const [, parameter] of parameters) {
    using zero = parameter.zerosLike();
    parameter.grad = zero;
  }
  optimizer.step(0.1);
  const end = parameters.map(([, parameter]) => parameter.toNumbers());
  for (let i = 0; i < 4; i++) expect(end[0]![i]).toBeCloseTo(start[0]![i]! * 0.95, 6);
  expect(end[1]).toEqual(start[1]);
  expect(end[2]).toEqual(start[2]);
  free(parameters);
});

test("mixed dtypes are updated side by side", () => {
  using wide = F.ones([3], "float32", device).setRequiresGrad(true);
  using narrow = F.ones([3], "bfloat16", device).setRequiresGrad(true);
  using optimizer = new optim.AdamW(Object.entries({ wide, narrow }), { weightDecay: 0 });
  for (const parameter of [wide, narrow]) {
    using gradient = parameter.onesLike();
    parameter.grad = gradient;
  }
  optimizer.step(0.5);
  for (const value of [...wide.toNumbers(), ...narrow.toNumbers()]) expect(value).toBeCloseTo(0.5, 5);
});

test("a run that is saved and loaded takes the same steps, to the bit", () => {
  const before = memory().tensors;
  tidy(() => {
    const unbroken = weights([5, 3], [7]);
    const resumed: [string, Tensor][] = unbroken.map(([name, w]) => [name, w.detach().clone().setRequiresGrad(true)]);
    using first = new optim.AdamW(unbroken, { weightDecay: 0.1 });
    using second = new optim.AdamW(resumed, { weightDecay: 0.1 });
    using third = new optim.AdamW(resumed, { weightDecay: 0.1 });
    const move = (parameters: [string, Tensor][], optimizer: optim.AdamW, step: number) => {
      giveGradients(parameters, step);
      optimizer.step(0.01 * (step + 1));
    };
    for (let step = 0; step < 3; step++) move(unbroken, first, step);
    for (let step = 0; step < 3; step++) move(resumed, second, step);
    third.load(second.stateDict());
    move(unbroken, first, 3);
    move(resumed, third, 3);
    for (const [index, [, parameter]] of unbroken.entries()) {
      expect(parameter.equal(resumed[index]![1])).toBe(true);
    }
  });
  expect(memory().tensors).toBe(before);
});

test("state that does not fit is refused whole", () => {
  tidy(() => {
    const parameters = weights([2], [3]);
    const optimizer = new optim.AdamW(parameters);
    giveGradients(parameters, 0);
    optimizer.step(0.1);
    const state = optimizer.stateDict();
    state.delete("w0.step");
    state.set("w1.exp_avg", tensor([1, 2]));
    state.set("other.step", tensor(1));
    expect(() => optimizer.load(state)).toThrow(CheckpointError);
    expect(() => optimizer.load(state)).toThrow(
      /missing: w0.step\n {2}shape: w1.exp_avg is \(2\).*\(3\)\n {2}unexpected: other.step/,
    );
    expect(optimizer.stateDict().size).toBe(6);
    optimizer.dispose();
  });
});

test("one name or one tensor twice is a mistake", () => {
  tidy(() => {
    const [a, b] = weights([2], [3]) as [[string, Tensor], [string, Tensor]];
    expect(() => new optim.AdamW([a, ["w0", b[1]]])).toThrow(/two parameters are named w0/);
    expect(() => new optim.AdamW([a, ["again", a[1]]])).toThrow(/again was given before/);
  });
});

test("a small network learns a rule, and no tensor is left", () => {
  const before = memory().tensors;
  const model = nn.creating({ device }, () => new nn.Linear(2, 1));
  const optimizer = new optim.AdamW(model.namedParameters(), { weightDecay: 0 });
  let loss = 1;
  tidy(() => {
    const x = F.randn([64, 2], undefined, device);
    const y = x.matmul(tensor([[2], [-3]], { device })).add(0.5);
    for (let step = 0; step < 200; step++) {
      tidy(() => {
        const error = model.forward(x).mseLoss(y);
        optimizer.zeroGrad();
        error.backward();
        optimizer.step(0.1);
        loss = error.item();
      });
    }
  });
  expect(loss).toBeLessThan(1e-3);
  optimizer.dispose();
  model.dispose();
  expect(memory().tensors).toBe(before);
});
