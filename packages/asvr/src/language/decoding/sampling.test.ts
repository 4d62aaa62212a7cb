import { manualSeed, memory, setThreads, tensor, tidy } from "@asvr/torch";
import { afterAll, expect, test } from "vitest";
import { drawToken, type SamplingOptions } from "./sampling.js";

setThreads(1); // test files run side by side
manualSeed(1);
const before = memory().tensors;
afterAll(() => expect(memory().tensors).toBe(before));

const probabilities = [0.05, 0.4, 0.2, 0.3, 0.05];

/** How often each token is drawn. */
function frequencies(options: SamplingOptions, values: readonly number[] = probabilities, draws = 4000): number[] {
  const counts = values.map(() => 0);
  tidy(() => {
    const logits = tensor(values.map(Math.log));
    for (let index = 0; index < draws; index++) {
      const token = tidy(() => drawToken(logits, { seed: 3, ...options }, index));
      counts[token]!++;
    }
  });
  return counts.map((count) => count / draws);
}

function expectNear(found: readonly number[], wanted: readonly number[]): void {
  // Four standard deviations of 4000 draws at the most.
  for (const [index, value] of wanted.entries()) expect(Math.abs(found[index]! - value)).toBeLessThan(0.032);
}

test("draws as likely as the model says, sharper or flatter with the temperature", () => {
  expectNear(frequencies({ temperature: 1 }), probabilities);
  const powers = probabilities.map((p) => p ** 2);
  const total = powers.reduce((a, b) => a + b, 0);
  expectNear(
    frequencies({ temperature: 0.5 }),
    powers.map((p) => p / total),
  );
  expect(frequencies({ temperature: 0 }, probabilities, 3)).toEqual([0, 1, 0, 0, 0]);
});

test("topP keeps the likeliest that reach it, topK so many, and topP counts what topK left", () => {
  expectNear(frequencies({ temperature: 1, topP: 0.65 }), [0, 4 / 7, 0, 3 / 7, 0]);
  expectNear(frequencies({ temperature: 1, topK: 3 }), [0, 4 / 9, 2 / 9, 3 / 9, 0]);
  expectNear(frequencies({ temperature: 1, topK: 2, topP: 0.57 }), [0, 1, 0, 0, 0]);
  expect(frequencies({ temperature: 1, topP: 1e-6 }, probabilities, 5)).toEqual([0, 1, 0, 0, 0]);
  expect(frequencies({ temperature: 1, topP: 0 }, probabilities, 5)).toEqual([0, 1, 0, 0, 0]);
});

test("a flat distribution over many tokens is cut where it should be", () => {
  const found = frequencies({ temperature: 1, topP: 0.5 }, Array(3000).fill(1 / 3000), 2000);
  const drawn = found.filter((share) => share > 0).length;
  expect(drawn).toBeGreaterThan(600);
  expect(drawn).toBeLessThanOrEqual(1501);
});

test("nothing impossible is drawn", () => {
  expectNear(frequencies({ temperature: 2 }, [0, 0.5, 0, 0.5, 0]), [0, 0.5, 0, 0.5, 0]);
  expectNear(frequencies({ temperature: 2, topP: 0.999 }, [0, 0.5, 0, 0.5, 0]), [0, 0.5, 0, 0.5, 0]);
});
