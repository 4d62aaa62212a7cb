import { F, nn, type Tensor } from "@asvr/torch";
import type { SequenceAttention } from "../llama.js";
import type { RotaryAngles } from "../rotary.js";
import type { SequenceCache } from "./sequence-cache.js";

/** New tokens of one sequence, with all that came before them. */
export interface PackedPart {
  readonly cache: SequenceCache;
  /** New tokens. */
  readonly count: number;
}

/**
 * Attention in a row of new tokens of many sequences: each looks at its own sequence alone, over exactly the keys that
 * this has. All else of a layer is one product for all tokens, so that unequal lengths cost no padding.
 */
export class PackedSequences implements SequenceAttention {
  /** @param windows how many positions a token of each layer sees; null: all before it */
  constructor(
    readonly angles: RotaryAngles,
    private readonly parts: readonly PackedPart[],
    private readonly windows: readonly (number | null)[] | undefined,
  ) {}

  attend(layer: number, query: Tensor, key: Tensor, value: Tensor): Tensor {
    const [, heads, queries, headDim] = query.shape as [number, number, number, number];
    const isReadout = queries < key.size(2); // then the last of each part
    const window = this.windows?.[layer] ?? null;
    let at = 0;
    const mixed = this.parts.map(({ cache, count }, index) => {
      const asked = isReadout ? query.narrow(2, index, 1) : this.#whole(query, at, count);
      const seen = cache.length + count;
      // Keys that no asked token sees are passed over.
      const first = window === null ? 0 : Math.max(0, seen - asked.size(2) - window + 1);
      const all = cache.write(layer, this.#whole(key, at, count), this.#whole(value, at, count), first);
      at += count;
      return attendLast(asked, all.key, all.value, window);
    });
    return mixed.length === 1 ? mixed[0]! : F.cat(mixed, 2).view([1, heads, queries, headDim]);
  }

  #whole(x: Tensor, at: number, count: number): Tensor {
    return this.parts.length === 1 ? x : x.narrow(2, at, count);
  }
}

/** The queries are the last tokens of the keys. (1, heads, queries, headDim), twice (1, kvHeads, keys, headDim) */
function attendLast(query: Tensor, key: Tensor, value: Tensor, window: number | null): Tensor {
  const [, heads, queries, headDim] = query.shape as [number, number, number, number];
  const [, kvHeads, keys] = key.shape as [number, number, number];
  if (queries === 1) {
    // All heads that share keys ask them at once: as rows of one product.
    const shared = query.reshape([1, kvHeads, heads / kvHeads, headDim]);
    return nn.attend(shared, key, value).reshape([1, heads, 1, headDim]);
  }
  if (queries === keys && (window === null || window >= keys)) return nn.attend(query, key, value, { causal: true });
  const own = F.arange(keys - queries, keys, 1, "int64", query.device).unsqueeze(-1);
  const others = F.arange(0, keys, 1, "int64", query.device);
  const earlier = others.le(own);
  const mask = window === null ? earlier : earlier.logicalAnd(others.gt(own.sub(window)));
  return nn.attend(query, key, value, { mask });
}
