import { F, memory, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { expect, test } from "vitest";
import { type GridResizing, resizePositions } from "./position-grid.js";

const kinds: readonly GridResizing[] = ["bilinear-antialiased", "bicubic", "bicubic-offset"];

test.each(kinds)(
  "%s: the same grid is left alone, a constant stays one, the transpose is that of the transpose",
  (kind) => {
    const before = memory().tensors;
    tidy(() => {
      const table = F.randn([16, 3]);
      expect(resizePositions(table, 4, 4, kind).equal(table)).toBe(true);
      const constant = F.full([16, 3], 0.5, "float32");
      expectClose(resizePositions(constant, 3, 7, kind), F.full([21, 3], 0.5, "float32"), { rtol: 0, atol: 1e-5 });
      const transposed = table.view([4, 4, 3]).transpose(0, 1).reshape([16, 3]);
      const resized = resizePositions(table, 3, 7, kind).view([3, 7, 3]).transpose(0, 1);
      expectClose(resizePositions(transposed, 7, 3, kind).view([7, 3, 3]), resized, { rtol: 1e-4, atol: 1e-5 });
      expect(resizePositions(table.to("bfloat16"), 5, 2, kind).dtype).toBe("bfloat16");
    });
    expect(memory().tensors).toBe(before);
  },
);
