import * as F from "../operators.generated.js";
import type { Tensor } from "../tensor.js";

/** How `attend` masks and scales. */
export interface AttendOptions {
  /** Additive (float) or allowed (bool), broadcastable to (batch, heads, queries, keys). */
  mask?: Tensor;
  /** Query i sees keys up to i. Not together with `mask`. */
  causal?: boolean;
  /** Default 1/sqrt(headDim). */
  scale?: number;
}

/**
 * Scaled dot-product attention, fused by libtorch where it has a kernel.
 * @param query (batch, heads, queries, headDim)
 * @param key (batch, kvHeads, keys, headDim); where kvHeads < heads, each serves heads/kvHeads consecutive ones
 * @param value (batch, kvHeads, keys, headDim)
 * @returns (batch, heads, queries, headDim)
 */
export function attend(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  { mask, causal = false, scale }: AttendOptions = {},
): Tensor {
  const grouped = query.size(1) !== key.size(1);
  return F.scaledDotProductAttention(query, key, value, mask, 0, causal, scale, grouped);
}

/** (batch, tokens, heads·headDim) -> (batch, heads, tokens, headDim) */
export function splitHeads(x: Tensor, heads: number): Tensor {
  const [batch, tokens, width] = x.shape as [number, number, number];
  return x.view([batch, tokens, heads, width / heads]).transpose(1, 2);
}

/** (batch, heads, tokens, headDim) -> (batch, tokens, heads·headDim) */
export function mergeHeads(x: Tensor): Tensor {
  const [batch, heads, tokens, headDim] = x.shape as [number, number, number, number];
  return x.transpose(1, 2).reshape([batch, tokens, heads * headDim]);
}
