import { memory, setThreads, tensor, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { expect, test } from "vitest";
import { type RopeScaling, rotaryAngles, rotaryFrequencies } from "./rotary.js";

setThreads(1); // test files run side by side
const [headDim, theta] = [8, 10_000];
const plain = Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
const exact = { rtol: 1e-6, atol: 0 };

function frequencies(scaling: RopeScaling | undefined, longest: number): number[] {
  return tidy(() => rotaryFrequencies(tensor([[0, longest]]).to("int64"), headDim, theta, scaling).toNumbers());
}

function expectFrequencies(scaling: RopeScaling | undefined, longest: number, expected: number[]): void {
  tidy(() => expectClose(tensor(frequencies(scaling, longest)), tensor(expected), exact));
}

test("linear scaling divides positions", () => {
  expectFrequencies(undefined, 99, plain);
  expectFrequencies(
    { kind: "linear", factor: 4 },
    99,
    plain.map((frequency) => frequency / 4),
  );
});

test("dynamic scaling leaves texts of the first length alone, and enlarges the base for longer ones", () => {
  const scaling = { kind: "dynamic", factor: 2, originalLength: 100 } as const;
  expectFrequencies(scaling, 99, plain);
  const base = theta * ((2 * 300) / 100 - 1) ** (headDim / (headDim - 2));
  expectFrequencies(
    scaling,
    299,
    plain.map((_, i) => base ** ((-2 * i) / headDim)),
  );
});

test("llama3 scaling keeps fast frequencies, divides slow ones and interpolates between", () => {
  const [factor, low, high, originalLength] = [8, 1, 4, 128];
  const expected = plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < originalLength / high) return frequency;
    if (wavelength > originalLength / low) return frequency / factor;
    const smooth = (originalLength / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
  // One of each kind, or the test says less than its name.
  const kinds = expected.map((value, i) => [1, 1 / factor].findIndex((ratio) => value === plain[i]! * ratio));
  expect(new Set(kinds)).toEqual(new Set([0, 1, -1]));
  expectFrequencies(
    { kind: "llama3", factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalLength },
    5,
    expected,
  );
});

test("leaves no tensor behind", () => {
  const before = memory().tensors;
  tidy(() => {
    const positions = tensor([[0, 1, 2]]).to("int64");
    const held = memory().tensors;
    const scaled = rotaryFrequencies(positions, headDim, theta, { kind: "dynamic", factor: 2, originalLength: 2 });
    rotaryAngles(positions, scaled);
    expect(memory().tensors).toBe(held + 3);
  });
  expect(memory().tensors).toBe(before);
});
