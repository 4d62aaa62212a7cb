import { keep, manualSeed, memory, nn, setThreads, type Tensor, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, expect, test } from "vitest";
import { packSamples } from "../data/packing.js";
import type { GradientSink } from "../layers/gradient-sink.js";
import type { VisualSupervision } from "../supervision/supervision.js";
import { TinyModel, tiny, tinySample, tinyVisuals } from "./fixture.js";
import { lossScales, totalLoss, VisionLanguageModel } from "./lvlm.js";

setThreads(1); // test files run side by side
manualSeed(7);
const before = memory().tensors;
const network = new TinyModel();
const { model } = network;
const visuals = tinyVisuals(["cat", "dog"]);
afterAll(() => {
  for (const owned of [network, visuals]) owned[Symbol.dispose]();
  expect(memory().tensors).toBe(before);
});

const close = { rtol: 1e-5, atol: 1e-6 };
const samples = [
  tinySample("a", [1, "image", 5, 6, 7, 8], { key: "cat", learnedFrom: 3 }),
  tinySample("b", [2, "image", 9, 10, 11], { key: "dog", learnedFrom: 3 }),
];
const batch = packSamples(samples, { capacity: 20, imageTokens: tiny.positions, compact: true });
const pictures = () => visuals.batch(batch.images.map(({ ref }) => ref.key));
const counts = { text: 9, vision: 17 };
const weight = 0.7;
const scales = lossScales(counts, weight);

function clear(of: nn.Module): void {
  for (const parameter of of.parameters()) parameter.grad = null;
}

/** Gradients by name, which are cleared. */
function takeGradients(of: nn.Module): Map<string, Tensor | null> {
  const found = new Map(Array.from(of.gradients(), ([name, gradient]) => [name, gradient?.clone() ?? null]));
  clear(of);
  return found;
}

/** Of the total loss, through the history of `losses`. */
function byBackward(of: VisionLanguageModel): Map<string, Tensor | null> {
  totalLoss(of.losses(batch, pictures()), counts, weight).total.backward();
  return takeGradients(of);
}

function expectGradients(found: Map<string, Tensor | null>, wanted: Map<string, Tensor | null>): void {
  expect([...found.keys()]).toEqual([...wanted.keys()]);
  for (const [name, gradient] of wanted) {
    expect(found.get(name) === null, name).toBe(gradient === null);
    if (gradient) expectClose(found.get(name)!, gradient, close, name);
  }
}

test("losses taken twice write nothing, and give equal gradients by a backward each", () => {
  tidy(() => {
    const totals = [1, 2].map(() => totalLoss(model.losses(batch, pictures()), counts, weight).total);
    for (const [name, gradient] of model.gradients()) expect(gradient, name).toBeNull();
    const [first, second] = totals.map((total) => {
      total.backward();
      return Array.from(takeGradients(model), ([name, gradient]) => [name, gradient?.toNumbers()]);
    });
    expect(second).toEqual(first);
  });
});

test.each(["language", "projector", "supervision"] as const)(
  "accumulate gives the losses, and the gradients of their backward; also where the %s is frozen",
  (frozen) => {
    tidy(() => {
      for (const isFrozen of [false, true]) {
        model[frozen]!.setTrainable(!isFrozen);
        const wanted = byBackward(model);
        const losses = model.losses(batch, pictures());
        const found = model.accumulate(batch, pictures(), { scales });
        expectGradients(takeGradients(model), wanted);
        expect(found.textNll.requiresGrad || found.visionNll!.requiresGrad).toBe(false);
        expect(found.textNll.item()).toBe(losses.textNll.item());
        expectClose(found.visionNll!, losses.visionNll!, close);
        expect([found.textCount, found.visionCount]).toEqual([losses.textCount, losses.visionCount]);
        expect(found.codesCorrect!.toNumbers()).toEqual(losses.codesCorrect!.toNumbers());
      }
    });
    model.setTrainable(true);
  },
);

test("gradients of two batches add up", () => {
  tidy(() => {
    const once = byBackward(model);
    for (let pass = 0; pass < 2; pass++) model.accumulate(batch, pictures(), { scales });
    const twice = new Map(Array.from(once, ([name, gradient]) => [name, gradient?.mul(2) ?? null]));
    expectGradients(takeGradients(model), twice);
  });
});

test("gradients go where the sink puts them, and nowhere else", () => {
  tidy(() => {
    const wanted = byBackward(model);
    const own = new Map<Tensor, Tensor>();
    const put = (parameter: Tensor, gradient: Tensor) => {
      const sum = own.get(parameter)?.add(gradient) ?? gradient.clone();
      own.get(parameter)?.dispose();
      own.set(parameter, keep(sum));
    };
    const elsewhere: GradientSink = {
      backward(output, gradient) {
        output.backward(gradient);
        for (const parameter of model.parameters()) {
          if (parameter.grad) put(parameter, parameter.grad);
          parameter.grad = null;
        }
      },
      add: (parameter, gradient, scale) => put(parameter, gradient.mul(scale)),
      addProduct: (parameter, left, right, scale) => put(parameter, left.mm(right).mul(scale)),
      drop: (parameter) => own.delete(parameter),
    };
    model.accumulate(batch, pictures(), { scales, into: elsewhere });
    for (const [name, gradient] of model.gradients()) expect(gradient, name).toBeNull();
    for (const [parameter, gradient] of own) parameter.grad = gradient;
    expectGradients(takeGradients(model), wanted);
    for (const gradient of own.values()) gradient.dispose();
  });
});

/** A supervision of one's own has no more than a loss. */
class Plain extends nn.Module implements VisualSupervision {
  readonly targets = ["semantic"];

  constructor(readonly inner: VisualSupervision) {
    super();
  }

  loss(hiddenStates: Tensor, codes: ReadonlyMap<string, Tensor>) {
    return this.inner.loss(hiddenStates, codes);
  }
}

/** The same network under another supervision. */
function supervisedBy(supervision: VisualSupervision): VisionLanguageModel {
  const { language, projector } = model;
  return new VisionLanguageModel({ language, projector, supervision });
}

test("a supervision without an accumulate of its own goes through its loss", () => {
  tidy(() => {
    const plain = supervisedBy(new Plain(model.supervision!));
    const wanted = byBackward(plain);
    plain.accumulate(batch, pictures(), { scales });
    expectGradients(takeGradients(plain), wanted);
  });
});

test("an exception in the middle leaves no gradient, of the batches before neither", () => {
  class Failing extends Plain {
    accumulate(hiddenStates: Tensor, codes: ReadonlyMap<string, Tensor>): never {
      this.loss(hiddenStates, codes).nll.backward(undefined, { retainGraph: true });
      throw new RangeError("the head is broken");
    }
  }
  tidy(() => {
    model.accumulate(batch, pictures(), { scales });
    const failing = supervisedBy(new Failing(model.supervision!));
    expect(() => failing.accumulate(batch, pictures(), { scales })).toThrow("the head is broken");
    for (const [name, gradient] of model.gradients()) expect(gradient, name).toBeNull();
  });
});

test("where nothing learns, the losses are the same and no gradient comes", () => {
  tidy(() => {
    model.setTrainable(false);
    const found = model.accumulate(batch, pictures(), { scales });
    expect(found.textNll.item()).toBe(model.losses(batch, pictures()).textNll.item());
    for (const [name, gradient] of model.gradients()) expect(gradient, name).toBeNull();
    model.setTrainable(true);
  });
});
