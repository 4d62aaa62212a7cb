import { manualSeed, memory, setThreads, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { packSamples } from "../../data/packing.js";
import { gradField } from "../../layers/gradient-sink.js";
import { TinyModel, tiny, tinySample, tinyVisuals } from "../../model/fixture.js";
import { VisionLanguageObjective } from "./vision-language.js";

setThreads(1); // test files run side by side
manualSeed(5);
const before = memory().tensors;
// A picture each: samples of one picture share it within a batch, so that another split would have other counts.
const keys = ["cat", "dog", "owl", "bat", "elk", "fox", "hen"];
const network = new TinyModel();
const visual = tinyVisuals(keys);
afterAll(() => {
  for (const owned of [network, visual]) owned[Symbol.dispose]();
  expect(memory().tensors).toBe(before);
});

const samples = Array.from({ length: 7 }, (_, index) => {
  const words = Array.from({ length: 3 + (index % 4) }, (_, word) => 3 + ((5 * index + word) % (tiny.vocabSize - 3)));
  return index % 3 === 2
    ? tinySample(`s${index}`, [1, ...words], { learnedFrom: 2 })
    : tinySample(`s${index}`, [1, "image", ...words], { key: keys[index]!, learnedFrom: 4 });
});
const objective = new VisionLanguageObjective(network.model, {
  samples,
  visual,
  trainable: ["projector", "visualHead", "language"],
  batchSize: samples.length,
  samplesPerImage: 1,
  supervised: true,
  visionWeight: 0.6,
  imageTokens: tiny.positions,
  seed: 1,
});
const pack = (members: readonly number[]) =>
  packSamples(
    members.map((member) => samples[member]!),
    { capacity: 40, imageTokens: tiny.positions, compact: true },
  );

/** Loss, metrics and gradients of a step of these micro-batches. */
function step(parts: readonly (readonly number[])[], verb: "losses" | "accumulate") {
  const batches = parts.map(pack);
  const counts = objective.counts(batches);
  const sums = new Map<string, number[]>();
  for (const batch of batches) {
    const { total, metrics } = tidy(() => {
      if (verb === "accumulate") return objective.accumulate(batch, counts, gradField);
      const losses = objective.losses(batch, counts);
      losses.total.backward();
      return losses;
    });
    for (const [name, value] of Object.entries({ total, ...metrics })) {
      const values = value!.toNumbers();
      const sum = sums.get(name);
      sums.set(name, sum ? sum.map((one, at) => one + values[at]!) : values);
    }
  }
  const gradients = Array.from(network.model.gradients(), ([name, gradient]) => [name, gradient!.clone()] as const);
  for (const parameter of network.model.parameters()) parameter.grad = null;
  return { counts, sums, gradients };
}

test("a step split into micro-batches in any way has the losses and the gradients of the whole", () => {
  const groups = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: samples.length, maxLength: samples.length });
  tidy(() => {
    const whole = step([samples.map((_, member) => member)], "losses");
    expect(whole.counts).toEqual({ text: expect.any(Number), vision: 5 * tiny.positions });
    fc.assert(
      fc.property(groups, fc.constantFrom("losses" as const, "accumulate" as const), (groupOf, verb) => {
        tidy(() => {
          const parts = [0, 1, 2, 3].map((group) =>
            samples.flatMap((_, member) => (groupOf[member] === group ? [member] : [])),
          );
          const split = step(
            parts.filter((part) => part.length > 0),
            verb,
          );
          expect(split.counts).toEqual(whole.counts);
          for (const [name, values] of whole.sums) {
            for (const [at, value] of values.entries()) expect(split.sums.get(name)![at], name).toBeCloseTo(value, 4);
          }
          for (const [at, [name, gradient]] of whole.gradients.entries()) {
            expectClose(split.gradients[at]![1], gradient, { rtol: 1e-4, atol: 1e-5 }, name);
          }
        });
      }),
      { numRuns: 25 },
    );
  });
});
