import { type DType, F, type Tensor, tidy } from "@asvr/torch";

/** Rotation of queries and keys for one batch of positions: what `rotate` needs, shared by all layers. */
export interface RotaryAngles {
  /** (batch, tokens, 1, headDim) */
  readonly cos: Tensor;
  /** (batch, tokens, 1, headDim), the first half negated */
  readonly signedSin: Tensor;
}

/**
 * How a model turns at positions beyond those it was first trained for:
 * - `linear`: positions divided by `factor` (Chen et al., 2023)
 * - `dynamic`: a larger base once the longest text of a batch exceeds `originalLength` ("NTK-aware"); what is in a cache
 *   keeps the base it was turned with, as in Hugging Face's implementation
 * - `llama3`: slow frequencies divided by `factor`, fast ones kept, those between interpolated (Llama 3.1)
 */
export type RopeScaling =
  | { readonly kind: "linear"; readonly factor: number }
  | { readonly kind: "dynamic"; readonly factor: number; readonly originalLength: number }
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalLength: number;
    };

/**
 * The angle by which each pair of a head turns from one position to the next: theta^(-2i/headDim), scaled.
 * @param positions int64, of all tokens: `dynamic` reads the largest
 * @returns float32 (headDim/2)
 */
export function rotaryFrequencies(positions: Tensor, headDim: number, theta: number, scaling?: RopeScaling): Tensor {
  return tidy(() => {
    const exponents = F.arange(0, headDim / 2, 1, "float64", positions.device).mul(2 / headDim);
    const base = scaling?.kind === "dynamic" ? dynamicBase(positions, headDim, theta, scaling) : theta;
    const frequencies = exponents.mul(-Math.log(base)).exp();
    if (scaling?.kind === "linear") return frequencies.div(scaling.factor).to("float32");
    if (scaling?.kind !== "llama3") return frequencies.to("float32");
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalLength } = scaling;
    const turns = frequencies.mul(originalLength / (2 * Math.PI)); // within the original length
    const kept = turns
      .sub(low)
      .div(high - low)
      .clamp(0, 1); // 1 where a frequency stays, 0 where it is divided
    return frequencies.mul(kept.mul(1 - 1 / factor).add(1 / factor)).to("float32");
  });
}

function dynamicBase(
  positions: Tensor,
  headDim: number,
  theta: number,
  { factor, originalLength }: { factor: number; originalLength: number },
): number {
  const length = Math.max(originalLength, positions.amax().item() + 1);
  return theta * ((factor * length) / originalLength - (factor - 1)) ** (headDim / (headDim - 2));
}

/**
 * Rotary position embedding, half-split: pairs (x[i], x[i + headDim/2]) turn by position · frequency[i].
 * @param positions int64 (batch, tokens)
 * @param frequencies float32 (headDim/2), from `rotaryFrequencies`
 * @param dtype of the result: that of what is turned, as in Hugging Face's implementation
 */
export function rotaryAngles(positions: Tensor, frequencies: Tensor, dtype: DType = "float32"): RotaryAngles {
  return tidy(() => {
    const angles = positions.to("float32").unsqueeze(-1).unsqueeze(-1).mul(frequencies); // (batch, tokens, 1, half)
    const [cos, sin] = [angles.cos(), angles.sin()];
    return { cos: F.cat([cos, cos], -1).to(dtype), signedSin: F.cat([sin.neg(), sin], -1).to(dtype) };
  });
}

/**
 * Turns every head by its token's position. With the halves swapped by one roll, it is three passes instead of seven.
 * @param x (batch, tokens, heads, headDim)
 */
export function rotate(x: Tensor, { cos, signedSin }: RotaryAngles): Tensor {
  return x.mul(cos).add(x.roll(x.size(-1) / 2, -1).mul(signedSin));
}
