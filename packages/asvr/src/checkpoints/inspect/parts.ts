/** What is known of one tensor. */
export interface Stored {
  readonly name: string;
  readonly parameters: number;
  readonly bytes: number;
  /** A dtype, or a type of GGUF. */
  readonly dtype: string;
}

/** The tensors of one part of a model, counted. */
export interface Part {
  readonly part: string;
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
  /** Parameters by dtype, the most first. */
  readonly dtypes: Readonly<Record<string, number>>;
}

/** Parts by the names of their weights, in every layout that is read here; the first that fits counts. */
const patterns: readonly (readonly [part: string, pattern: RegExp])[] = [
  ["visual head", /rqtransformer|visual_head|^(?:model\.)?supervision\.|^vision_head\./],
  ["visual tokenizer", /vision_tokenizer\.|^(?:encoder_)?quant/],
  ["vision tower", /(?:^|\.)vision_tower\.|^vision_model\.|^(?:v|vit)\.|^visual\./],
  ["projector", /(?:^|\.)(?:multi_modal_projector|mm_projector)\.|^(?:model\.)?projector\.|^mm\./],
  ["image newline", /(?:^|\.)image_newline$/],
  ["text tower", /^text_model\./],
  ["vision tower", /^(?:embeddings|encoder\.layers|pre_layrnorm|post_layernorm|head)\./], // one that is alone
  [
    "language model",
    /(?:^|\.)language_model\.|^(?:model\.)?language\.|^(?:model\.)?(?:layers|embed_tokens|norm)\.|^lm_head\.|^blk\.|^(?:token_embd|output|output_norm|rope_freqs)\./,
  ],
];

/** The part that a weight belongs to, by its name; "other" for names of no known layout. */
export function partOf(name: string): string {
  return patterns.find(([, pattern]) => pattern.test(name))?.[0] ?? "other";
}

/** All tensors by part, the largest part first. */
export function partsOf(tensors: Iterable<Stored>): Part[] {
  const parts = new Map<string, { tensors: number; parameters: number; bytes: number; dtypes: Map<string, number> }>();
  for (const { name, parameters, bytes, dtype } of tensors) {
    const part = partOf(name);
    const sum = parts.get(part) ?? { tensors: 0, parameters: 0, bytes: 0, dtypes: new Map() };
    parts.set(part, sum);
    sum.tensors++;
    sum.parameters += parameters;
    sum.bytes += bytes;
    sum.dtypes.set(dtype, (sum.dtypes.get(dtype) ?? 0) + parameters);
  }
  return [...parts]
    .map(([part, { dtypes, ...sums }]) => ({
      part,
      ...sums,
      dtypes: Object.fromEntries([...dtypes].sort(([, a], [, b]) => b - a)),
    }))
    .sort((a, b) => b.parameters - a.parameters);
}
