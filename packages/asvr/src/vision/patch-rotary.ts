import { type Device, type DType, F, type Tensor, tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";

/** Rotation of a grid's patches, (patches, headDim) each, row by row. */
export interface PatchRotary {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

export interface PatchRotaryOptions {
  readonly headDim: number;
  /** rope_theta */
  readonly theta: number;
  readonly device: Device;
  readonly dtype: DType;
}

/**
 * DINOv3's rotary positions (Siméoni et al., 2025): a quarter of a head's dimensions turns with the row, a quarter with
 * the column, and both again in the second half. A patch stands at its centre, each axis going from -1 to 1 whatever the
 * grid. Computed in double precision, given in `dtype`.
 * @throws ConfigError when `headDim` is no multiple of 4
 */
export function patchRotary(rows: number, columns: number, options: PatchRotaryOptions): PatchRotary {
  const { headDim, theta, device, dtype } = options;
  if (headDim % 4 !== 0) {
    throw new ConfigError(`DINOv3: heads of ${headDim} can't turn by rows and columns: expected a multiple of 4`);
  }
  const quarter = headDim / 4;
  const frequencies = Array.from({ length: quarter }, (_, k) => 2 * Math.PI * theta ** ((-4 * k) / headDim));
  const centre = (index: number, count: number) => (2 * (index + 0.5)) / count - 1;
  const angles: number[] = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const half = [centre(row, rows), centre(column, columns)].flatMap((place) => frequencies.map((f) => place * f));
      angles.push(...half, ...half);
    }
  }
  const table = (of: (angle: number) => number) =>
    tidy(() => tensor(angles.map(of), { device }).view([rows * columns, headDim]).to(dtype));
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/**
 * Turns the patches of queries or keys; the `prefix` tokens before them stay.
 * @param x (batch, heads, prefix + patches, headDim)
 */
export function rotatePatches(x: Tensor, { cos, sin }: PatchRotary, prefix: number): Tensor {
  const patches = x.narrow(2, prefix, x.size(2) - prefix);
  const [first, second] = patches.chunk(2, -1) as [Tensor, Tensor];
  const turned = patches.mul(cos).add(F.cat([second.neg(), first], -1).mul(sin));
  return prefix > 0 ? F.cat([x.narrow(2, 0, prefix), turned], 2) : turned;
}
