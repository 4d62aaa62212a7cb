import type { TypedArray } from "../dtype.js";
import { tidy } from "../scope.js";
import type { Tensor } from "../tensor.js";

/** How far two values may be apart: atol + rtol · |expected|. */
export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/**
 * Asserts |actual − expected| ≤ atol + rtol · |expected| for every element, in float64, and that the shapes are equal.
 * Any dtype, any device. Two NaN at one place are equal, as are two equal infinities.
 * @throws Error that names the element furthest outside, both values and the allowed difference
 */
export function expectClose(actual: Tensor, expected: Tensor, { rtol, atol }: Tolerance, label = "tensor"): void {
  if (actual.shape.join() !== expected.shape.join()) {
    throw new Error(`${label}: shape (${actual.shape.join(", ")}), expected (${expected.shape.join(", ")})`);
  }
  const got = asFloat64(actual);
  const want = asFloat64(expected);
  let worst = -1;
  let worstExcess = 0;
  let count = 0;
  for (let i = 0; i < want.length; i++) {
    const a = got[i]!;
    const b = want[i]!;
    if (Object.is(a, b) || a === b) continue;
    const excess = Math.abs(a - b) - (atol + rtol * Math.abs(b));
    if (excess <= 0) continue;
    count++;
    // A NaN or an infinity on one side is worse than any number.
    const rank = Number.isNaN(excess) ? Number.POSITIVE_INFINITY : excess;
    if (rank > worstExcess || worst < 0) {
      worst = i;
      worstExcess = rank;
    }
  }
  if (worst < 0) return;
  const allowed = atol + rtol * Math.abs(want[worst]!);
  throw new Error(
    `${label}: ${count} of ${want.length} elements differ. The worst is at [${place(worst, expected.shape).join(", ")}]: ` +
      `${got[worst]}, expected ${want[worst]}; they differ by ${Math.abs(got[worst]! - want[worst]!)}, ` +
      `${allowed} is allowed (rtol ${rtol}, atol ${atol})`,
  );
}

function asFloat64(tensor: Tensor): TypedArray & Float64Array {
  return tidy(() => tensor.detach().to({ device: "cpu" }).to("float64").data()) as Float64Array;
}

/** Coordinates of the element with row-major number `index`. */
function place(index: number, shape: readonly number[]): number[] {
  const coordinates: number[] = [];
  let rest = index;
  for (const size of shape.toReversed()) {
    coordinates.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return coordinates;
}
