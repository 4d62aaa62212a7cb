import { expect, test } from "vitest";
import { F, tensor, tidy } from "../index.js";
import { expectClose } from "./close.js";

const exact = { rtol: 0, atol: 0 };

test("reports the worst element, both values and what was allowed", () => {
  tidy(() => {
    const want = tensor([[1, 2, 3], [4, 5, 6]]); // biome-ignore format: a matrix
    const got = tensor([[1, 2.5, 3], [4, 5, 7]]); // biome-ignore format: a matrix
    expectClose(got, want, { rtol: 0.2, atol: 0.1 });
    expect(() => expectClose(got, want, { rtol: 0.1, atol: 0.05 }, "logits")).toThrow(
      /logits: 2 of 6 elements differ. The worst is at \[1, 2\]: 7, expected 6; they differ by 1, 0\.65/,
    );
  });
});

test("shapes are equal, dtypes need not be", () => {
  tidy(() => {
    expect(() => expectClose(F.zeros([2]), F.zeros([1, 2]), exact)).toThrow(/shape \(2\), expected \(1, 2\)/);
    expectClose(tensor([1, 2], { dtype: "int64" }), tensor([1, 2]).to("bfloat16"), exact);
  });
});

test("NaN and infinities are equal to themselves only", () => {
  tidy(() => {
    const odd = tensor([Number.NaN, Number.POSITIVE_INFINITY, 0]);
    expectClose(odd, odd.clone(), exact);
    const wide = { rtol: 1, atol: 1e9 };
    for (const [index, value] of [
      [0, 1],
      [1, 1],
      [2, Number.NaN],
      [2, Number.NEGATIVE_INFINITY],
    ] as const) {
      const other = odd.toNumbers();
      other[index] = value;
      expect(() => expectClose(tensor(other), odd, wide)).toThrow(`[${index}]`);
    }
  });
});
