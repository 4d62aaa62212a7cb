import { F, manualSeed, memory, noGrad, setThreads, type Tensor, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, expect, test } from "vitest";
import { reconstructionNll } from "./reconstruction.js";
import { VisualHead } from "./visual-head.js";

setThreads(1); // test files run side by side
manualSeed(4);
const close = { rtol: 1e-4, atol: 1e-5 };
const before = memory().tensors;
const config = { hiddenSize: 10, embedDim: 12, headDim: 4, layers: 2, depth: 3, codebookSize: 11, codeDim: 6 };
const head = new VisualHead(config);
const rows = 13;
const hiddenStates = F.randn([rows, config.hiddenSize]).setRequiresGrad(true);
const cumulative = F.randn([rows, config.depth, config.codeDim]);
const codes = tidy(() => F.rand([rows, config.depth]).mul(config.codebookSize).to("int64"));
afterAll(() => {
  for (const tensor of [hiddenStates, cumulative, codes, head]) tensor.dispose();
  expect(memory().tensors).toBe(before);
});

const parameters = () => [hiddenStates, ...head.parameters()];

/** Loss and gradients as a part of another loss; with `chunkRows`, on the spot, so many positions at a time. */
function taken(chunkRows?: number): { nll: Tensor; correct: number[]; gradients: (Tensor | null)[] } {
  for (const parameter of parameters()) parameter.grad = null;
  const options = chunkRows === undefined ? {} : { chunkRows, scale: 1 / 7 };
  const { nll, correctPerDepth } = reconstructionNll(head, hiddenStates.mul(2), cumulative, codes, options);
  nll.div(7).add(hiddenStates.sum()).backward();
  return {
    nll: nll.detach(),
    correct: correctPerDepth.toNumbers(),
    gradients: parameters().map((parameter) => parameter.grad?.clone() ?? null),
  };
}

test.each([1, 5, 12, rows])("%i positions at a time give the loss and the gradients of autograd", (chunkRows) => {
  tidy(() => {
    const [whole, parts] = [taken(), taken(chunkRows)];
    expectClose(parts.nll, whole.nll, close);
    expect(parts.correct).toEqual(whole.correct);
    for (const [index, gradient] of whole.gradients.entries()) expectClose(parts.gradients[index]!, gradient!, close);
  });
});

test("gradients that were there before are added to, not lost", () => {
  tidy(() => {
    for (const parameter of parameters()) parameter.grad = null;
    const add = (chunkRows: number) =>
      reconstructionNll(head, hiddenStates, cumulative, codes, { chunkRows, scale: 0.5 }).nll.mul(0.5).backward();
    add(rows);
    const once = parameters().map((parameter) => parameter.grad!.clone());
    add(4);
    for (const [index, parameter] of parameters().entries()) expectClose(parameter.grad!, once[index]!.mul(2), close);
  });
});

test("another factor than was said is noticed", () => {
  for (const chunkRows of [4, rows]) {
    tidy(() => {
      const { nll } = reconstructionNll(head, hiddenStates, cumulative, codes, { chunkRows, scale: 0.5 });
      expect(() => nll.mul(0.25).backward()).toThrow(/multiplied by 0\.(5|16).*, but backward brings 0\.(25|08)/);
    });
  }
});

test("what is frozen gets no gradient; without recording it is the same number", () => {
  tidy(() => {
    const whole = taken().nll;
    head.setTrainable(false);
    expect(
      taken(4)
        .gradients.slice(1)
        .every((gradient) => gradient === null),
    ).toBe(true);
    hiddenStates.setRequiresGrad(false);
    const options = { chunkRows: 4, scale: 1 };
    const frozen = reconstructionNll(head, hiddenStates.mul(2), cumulative, codes, options).nll;
    expect(frozen.requiresGrad).toBe(false);
    expectClose(frozen, whole, close);
    hiddenStates.setRequiresGrad(true);
    head.setTrainable(true);
    noGrad(() => {
      expectClose(reconstructionNll(head, hiddenStates.mul(2), cumulative, codes, options).nll, whole, close);
    });
  });
  for (const parameter of parameters()) parameter.grad = null;
});
