import { F, manualSeed, memory, setThreads, tensor, tidy } from "@asvr/torch";
import { afterAll, expect, test } from "vitest";
import { linearProbe, majority } from "./probe.js";

setThreads(1);
manualSeed(1);
const before = memory().tensors;
afterAll(() => expect(memory().tensors).toBe(before));

const labels = Int32Array.from({ length: 500 }, (_, i) => (i * 7919) % 3);

test("what is there is read, what is not is not", () => {
  tidy(() => {
    const shown = F.randn([500, 6]);
    const signal = tensor(labels).to("float32").sub(1).unsqueeze(1); // -1, 0, 1 along one direction
    const separable = F.cat([signal, signal.square(), shown.narrow(1, 2, 4)], 1);
    expect(linearProbe(separable, labels, 3)).toBe(1);
    expect(linearProbe(shown, labels, 3)).toBeLessThan(0.5);
    expect(linearProbe(shown.mul(0), labels, 3)).toBeCloseTo(majority(labels), 1);
  });
});

test("the majority is that of the fitted part", () => {
  expect(majority(Int32Array.of(1, 1, 1, 2, 2, 2, 1, 1, 2, 1))).toBe(0.5);
});
