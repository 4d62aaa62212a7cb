import { F, memory, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { patchRotary, rotatePatches } from "./patch-rotary.js";

const options = { headDim: 8, theta: 100, device: "cpu", dtype: "float32" } as const;

test("patches turn and keep their length; what stands before them doesn't turn", () => {
  const before = memory().tensors;
  tidy(() => {
    const x = F.randn([2, 3, 2 + 6, 8]);
    const turned = rotatePatches(x, patchRotary(2, 3, options), 2);
    expect(turned.narrow(2, 0, 2).equal(x.narrow(2, 0, 2))).toBe(true);
    expect(turned.narrow(2, 2, 6).equal(x.narrow(2, 2, 6))).toBe(false);
    expectClose(turned.square().sum(-1), x.square().sum(-1), { rtol: 1e-5, atol: 1e-5 });
    // In the middle of an odd grid there is nothing to turn.
    const centre = rotatePatches(x.narrow(2, 0, 1), patchRotary(1, 1, options), 0);
    expectClose(centre, x.narrow(2, 0, 1), { rtol: 1e-6, atol: 1e-6 });
  });
  expect(memory().tensors).toBe(before);
});

test("what a query and a key say to each other depends on where they stand to each other", () => {
  tidy(() => {
    const [query, key] = [F.randn([1, 1, 1, 8]), F.randn([1, 1, 1, 8])];
    const everywhere = (x: typeof query) => rotatePatches(x.expand([1, 1, 4, 8]), patchRotary(1, 4, options), 0);
    const scores = everywhere(query).matmul(everywhere(key).transpose(-2, -1)).view([4, 4]);
    expectClose(scores.narrow(0, 1, 3).narrow(1, 1, 3), scores.narrow(0, 0, 3).narrow(1, 0, 3), {
      rtol: 1e-4,
      atol: 1e-4,
    });
  });
});

test("heads must have quarters", () => {
  expect(() => patchRotary(1, 1, { ...options, headDim: 6 })).toThrow(ConfigError);
  expect(() => patchRotary(1, 1, { ...options, headDim: 6 })).toThrow(/heads of 6/);
});
