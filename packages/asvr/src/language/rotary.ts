import { F, type Tensor, tidy } from "@asvr/torch";

/** Rotation of queries and keys for one batch of positions: what `rotate` needs, shared by all layers. */
export interface RotaryAngles {
  /** (batch, tokens, 1, headDim) */
  readonly cos: Tensor;
  /** (batch, tokens, 1, headDim), the first half negated */
  readonly signedSin: Tensor;
}

/**
 * Rotary position embedding, half-split: pairs (x[i], x[i + headDim/2]) turn by position · theta^(-2i/headDim).
 * @param positions int64 (batch, tokens)
 */
export function rotaryAngles(positions: Tensor, headDim: number, theta: number): RotaryAngles {
  return tidy(() => {
    const half = headDim / 2;
    const exponents = F.arange(0, half, 1, "float64", positions.device).mul(2 / headDim);
    const frequencies = exponents.mul(-Math.log(theta)).exp().to("float32"); // (half)
    const angles = positions.to("float32").unsqueeze(-1).unsqueeze(-1).mul(frequencies); // (batch, tokens, 1, half)
    const [cos, sin] = [angles.cos(), angles.sin()];
    return { cos: F.cat([cos, cos], -1), signedSin: F.cat([sin.neg(), sin], -1) };
  });
}

/**
 * Turns every head by its token's position. With the halves swapped by one roll, it is three passes instead of seven.
 * @param x (batch, tokens, heads, headDim)
 */
export function rotate(x: Tensor, { cos, signedSin }: RotaryAngles): Tensor {
  return x.mul(cos).add(x.roll(x.size(-1) / 2, -1).mul(signedSin));
}
