// A packed batch gives the losses and gradients of its samples taken one by one. The one difference is meant: the
// samples of a picture that share it count its vision loss once, not once each.
import { F, manualSeed, memory, setThreads, type Tensor, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { type PackedBatch, packSamples, planRows } from "../data/packing.js";
import { IGNORE_INDEX, IMAGE_TOKEN_INDEX, type Sample } from "../data/samples.js";
import { ConfigError } from "../errors.js";
import { gradientsOf, statesAlone, TinyModel, tiny, tinySample, tinyVisuals } from "./fixture.js";
import { type Losses, totalLoss } from "./lvlm.js";
import type { VisualCache } from "./visual-cache.js";

setThreads(1); // test files run side by side
const close = { rtol: 1e-4, atol: 1e-5 };
const closeGradients = { rtol: 1e-3, atol: 1e-4 };
manualSeed(11);
const before = memory().tensors;
const models = { same: new TinyModel("same"), next: new TinyModel("next") };
const visuals = tinyVisuals(["cat", "dog", "owl"]);
afterAll(() => {
  for (const disposable of [...Object.values(models), visuals]) disposable[Symbol.dispose]();
  expect(memory().tensors).toBe(before);
});

function packedLosses({ model }: TinyModel, batch: PackedBatch): Losses {
  const visual = batch.images.length > 0 ? visuals.batch(batch.images.map(({ ref }) => ref.key)) : null;
  return model.losses(batch, visual);
}

/** Sum of −log p over the targets of one sample, and how many there are. */
function textAlone({ model }: TinyModel, sample: Sample): { nll: Tensor; count: number; correct: number } {
  const { inputIds, labels } = sample;
  const imageAt = inputIds.indexOf(IMAGE_TOKEN_INDEX);
  const columnOf = (entry: number) => (imageAt >= 0 && entry > imageAt ? entry + tiny.positions - 1 : entry);
  const entries = [...labels.keys()].filter((entry) => entry > 0 && labels[entry] !== IGNORE_INDEX);
  const logProbabilities = model.language.logits(statesAlone(model, sample, visuals)).logSoftmax(-1);
  const terms = entries.map((entry) => logProbabilities.select(0, columnOf(entry) - 1).select(0, labels[entry]!));
  const best = logProbabilities.argmax(-1).toNumbers();
  return {
    nll: terms.reduce((sum, term) => sum.sub(term), F.zeros([])),
    count: entries.length,
    correct: entries.filter((entry) => best[columnOf(entry) - 1] === labels[entry]).length,
  };
}

/** Over the positions of a sample's picture, the mean over depths of −log p(code). */
function visionAlone({ model, head, quantizer }: TinyModel, sample: Sample, cache: VisualCache = visuals): Tensor {
  const codes = cache.batch([sample.image!.key]).codes.get("semantic")!.select(0, 0);
  const start = sample.inputIds.indexOf(IMAGE_TOKEN_INDEX) - (model.alignment === "next" ? 1 : 0);
  const states = statesAlone(model, sample, cache).narrow(0, start, tiny.positions);
  const logProbabilities = head.forward(states, quantizer.lookup(codes)).logSoftmax(-1);
  return logProbabilities.gather(2, codes.unsqueeze(2)).sum().neg().div(tiny.depth);
}

function sum(terms: readonly Tensor[]): Tensor {
  return terms.reduce((total, term) => total.add(term), F.zeros([]));
}

function expectEqualLosses(found: Tensor, expected: Tensor, network: TinyModel, label: string): void {
  expectClose(found, expected, close, label);
  if (!expected.requiresGrad) return;
  const gradients = gradientsOf(network.model, found);
  for (const [name, gradient] of gradientsOf(network.model, expected)) {
    expectClose(gradients.get(name)!, gradient, closeGradients, `${label}: gradient of ${name}`);
  }
}

const word = fc.integer({ min: 3, max: tiny.vocabSize - 1 });
const anySample = fc
  .record({
    key: fc.constantFrom("cat", "dog", "owl", undefined),
    before: fc.constantFrom([1], [1, 2], [1, 9, 4]),
    after: fc.array(word, { maxLength: 8 }),
    learned: fc.integer({ min: 0, max: 8 }), // 0: a caption, learned from its first token
    sharesMore: fc.boolean(),
  })
  .map(({ key, before, after, learned, sharesMore }) => {
    const ids = [...before, ...(key ? (["image"] as const) : []), ...after];
    const start = before.length + (key ? 1 : 0);
    const prefixLength = sharesMore ? Math.min(ids.length, start + 2) : undefined;
    return tinySample("", ids, { key, learnedFrom: start + learned, prefixLength });
  });
const anyBatch = fc.record({
  samples: fc
    .array(anySample, { minLength: 1, maxLength: 9 })
    .map((samples) => samples.map((sample, index) => ({ ...sample, id: `s${index}` }))),
  capacity: fc.integer({ min: 16, max: 70 }),
  compact: fc.boolean(),
});

for (const network of Object.values(models)) {
  const { alignment } = network.model;
  test(`any samples, alignment ${alignment}: losses and gradients are those of the samples alone`, () => {
    fc.assert(
      fc.property(anyBatch, ({ samples, ...rest }) => {
        tidy(() => {
          const options = { ...rest, imageTokens: tiny.positions };
          const losses = packedLosses(network, packSamples(samples, options));
          const texts = samples.map((sample) => textAlone(network, sample));
          expect(losses.textCount).toBe(texts.reduce((total, { count }) => total + count, 0));
          expect(losses.textCorrect.item()).toBe(texts.reduce((total, { correct }) => total + correct, 0));
          expectEqualLosses(losses.textNll, sum(texts.map(({ nll }) => nll)), network, "text");

          // One vision loss a document: a group too large for a row is several, each with its copy of the picture.
          const documents = planRows(samples, options).flatMap((row) => row.documents);
          const pictured = documents.flatMap(({ samples: [first] }) =>
            samples[first!]!.image ? [samples[first!]!] : [],
          );
          expect(losses.visionCount).toBe(pictured.length * tiny.positions);
          if (pictured.length === 0) return expect(losses.visionNll).toBeUndefined();
          const vision = sum(pictured.map((sample) => visionAlone(network, sample)));
          expectEqualLosses(losses.visionNll!, vision, network, "vision");
        });
      }),
      { numRuns: 25 },
    );
  });
}

const questions = [
  tinySample("cat 1", [1, "image", 5, 6, 7], { key: "cat", learnedFrom: 3 }),
  tinySample("dog 1", [1, "image", 8, 9, 10, 11], { key: "dog", learnedFrom: 4 }),
  tinySample("cat 2", [1, "image", 12, 13], { key: "cat", learnedFrom: 3 }),
  tinySample("text", [1, 14, 15, 16], { learnedFrom: 2 }),
  tinySample("cat 3", [1, "image", 17, 18, 19], { key: "cat", learnedFrom: 3 }),
];

test("a picture counts once however many questions it has; repeated, it counts with each", () => {
  tidy(() => {
    const network = models.same;
    const [cat, dog] = [visionAlone(network, questions[0]!), visionAlone(network, questions[1]!)];
    const pack = (options: { capacity: number; compact: boolean }) =>
      packSamples(questions, { ...options, imageTokens: tiny.positions });

    const shared = pack({ capacity: 64, compact: true });
    expect(shared).toMatchObject({ rows: 1, images: [{ ref: { key: "cat" } }, { ref: { key: "dog" } }] });
    const losses = packedLosses(network, shared);
    expectClose(losses.visionNll!, cat.add(dog), close);
    expect(losses.visionCount).toBe(2 * tiny.positions);

    const repeated = packedLosses(network, pack({ capacity: 64, compact: false }));
    expectClose(repeated.visionNll!, cat.mul(3).add(dog), close);
    expect(repeated.visionCount).toBe(4 * tiny.positions);
    expectClose(repeated.textNll, losses.textNll, close);

    // In rows too short for its three questions, the cat is shown in two of them.
    const split = pack({ capacity: 9, compact: true });
    expect(split.images.map(({ ref }) => ref.key).sort()).toEqual(["cat", "cat", "dog"]);
    const splitLosses = packedLosses(network, split);
    expectClose(splitLosses.visionNll!, cat.mul(2).add(dog), close);
    expectClose(splitLosses.textNll, losses.textNll, close);
  });
});

test("the first token of a caption is predicted from the picture's last position", () => {
  tidy(() => {
    const caption = tinySample("caption", [1, "image", 20, 21], { key: "owl", learnedFrom: 2 });
    const batch = packSamples([caption], { capacity: 64, imageTokens: tiny.positions, compact: true });
    expect([...batch.targets.positions]).toEqual([tiny.positions, tiny.positions + 1]);
    expect([...batch.targets.ids]).toEqual([20, 21]);
    expectEqualLosses(packedLosses(models.same, batch).textNll, textAlone(models.same, caption).nll, models.same, "");
  });
});

test("micro-batches, divided by the counts of the whole step, add up to the whole batch", () => {
  tidy(() => {
    const network = models.next;
    const pack = (samples: readonly Sample[]) =>
      packSamples(samples, { capacity: 20, imageTokens: tiny.positions, compact: false });
    const whole = packedLosses(network, pack(questions));
    const counts = { text: whole.textCount, vision: whole.visionCount };
    const parts = [questions.slice(0, 1), questions.slice(1, 3), questions.slice(3)];
    const totals = parts.map((part) => totalLoss(packedLosses(network, pack(part)), counts, 0.5).total);
    expectEqualLosses(sum(totals), totalLoss(whole, counts, 0.5).total, network, "total");
  });
});

test("alignment next needs a token before the picture", () => {
  tidy(() => {
    const bare = tinySample("bare", ["image", 5, 6], { key: "cat", learnedFrom: 1 });
    // Beside another document the position before the picture is that document's last token, which must not count.
    const batch = packSamples([questions[3]!, bare], { capacity: 64, imageTokens: tiny.positions, compact: true });
    expect(batch.images).toMatchObject([{ row: 0, start: 3 }]);
    expect(() => packedLosses(models.next, batch)).toThrow(ConfigError);
    expect(() => packedLosses(models.next, batch)).toThrow(/alignment "next".*begins with its picture/);
    expectClose(packedLosses(models.same, batch).visionNll!, visionAlone(models.same, bare), close);
  });
});
