import { F, manualSeed, memory, noGrad, setThreads, type Tensor, tidy, withGradients } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, expect, test } from "vitest";
import { gradField } from "../layers/gradient-sink.js";
import { type AccumulatedVisionLoss, accumulateReconstructionNll, reconstructionNll } from "./reconstruction.js";
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

/** Loss and gradients as a part of another loss; with `chunkRows`, accumulated so many positions at a time. */
function taken(chunkRows?: number): { nll: Tensor; correct: number[]; gradients: (Tensor | null)[] } {
  for (const parameter of parameters()) parameter.grad = null;
  const states = hiddenStates.mul(2);
  const { nll, correctPerDepth } =
    chunkRows === undefined
      ? reconstructionNll(head, states, cumulative, codes)
      : withGradient(states, accumulated({ states, chunkRows, scale: 1 / 7 }));
  (chunkRows === undefined ? nll.div(7) : nll).add(hiddenStates.sum()).backward();
  return {
    nll: nll.detach(),
    correct: correctPerDepth.toNumbers(),
    gradients: parameters().map((parameter) => parameter.grad?.clone() ?? null),
  };
}

function accumulated({ states = hiddenStates, chunkRows = rows, scale = 1 }) {
  return accumulateReconstructionNll(head, states, cumulative, codes, { chunkRows, scale, into: gradField });
}

/** The loss as a result of the hidden states, so that backward brings their gradient on. */
function withGradient(states: Tensor, { gradient, ...loss }: AccumulatedVisionLoss) {
  expect(loss.nll.requiresGrad).toBe(false);
  return { ...loss, nll: withGradients(loss.nll, [states], [gradient]) };
}

test.each([1, 5, 12, rows])("%i positions at a time give the loss and the gradients of autograd", (chunkRows) => {
  tidy(() => {
    const [whole, parts] = [taken(), taken(chunkRows)];
    expectClose(parts.nll, whole.nll, close);
    expect(parts.correct).toEqual(whole.correct);
    for (const [index, gradient] of whole.gradients.entries()) expectClose(parts.gradients[index]!, gradient!, close);
  });
});

test("a loss that is not accumulated writes no gradient before backward, however often it is taken", () => {
  tidy(() => {
    for (const parameter of parameters()) parameter.grad = null;
    const losses = [1, 2].map(() => reconstructionNll(head, hiddenStates, cumulative, codes).nll);
    for (const parameter of parameters()) expect(parameter.grad).toBeNull();
    const [first, second] = losses.map((nll) => {
      nll.backward();
      return parameters().map((parameter) => {
        const found = parameter.grad!.toNumbers();
        parameter.grad = null;
        return found;
      });
    });
    expect(second).toEqual(first);
  });
});

test("gradients that were there before are added to, not lost", () => {
  tidy(() => {
    for (const parameter of parameters()) parameter.grad = null;
    accumulated({ scale: 0.5 });
    const once = head.parameters().map((parameter) => parameter.grad!.clone());
    accumulated({ scale: 0.5, chunkRows: 4 });
    for (const [index, parameter] of head.parameters().entries()) {
      expectClose(parameter.grad!, once[index]!.mul(2), close);
    }
  });
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
    const frozen = accumulated({ states: hiddenStates.mul(2), chunkRows: 4 });
    expect(frozen.gradient).toBeNull();
    expectClose(frozen.nll, whole, close);
    hiddenStates.setRequiresGrad(true);
    head.setTrainable(true);
    const unrecorded = noGrad(() => accumulated({ states: hiddenStates.mul(2), chunkRows: 4 }));
    expect(unrecorded.gradient).toBeNull();
    expectClose(unrecorded.nll, whole, close);
  });
  for (const parameter of parameters()) parameter.grad = null;
});
