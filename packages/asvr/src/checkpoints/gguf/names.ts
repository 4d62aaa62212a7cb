import type { LlamaConfig } from "../../language/llama.js";

/** Parts of a layer: llama.cpp's name, and the name in `LlamaForCausalLM`, which is Hugging Face's. */
const layerParts = [
  ["attn_norm", "input_layernorm"],
  ["attn_q", "self_attn.q_proj"],
  ["attn_k", "self_attn.k_proj"],
  ["attn_v", "self_attn.v_proj"],
  ["attn_output", "self_attn.o_proj"],
  ["ffn_norm", "post_attention_layernorm"],
  ["ffn_gate", "mlp.gate_proj"],
  ["ffn_up", "mlp.up_proj"],
  ["ffn_down", "mlp.down_proj"],
] as const;

const wholes: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
};

const toGguf: Readonly<Record<string, string>> = Object.fromEntries(layerParts.map(([gguf, hub]) => [hub, gguf]));

/** The name in a GGUF file of a weight of `LlamaForCausalLM`: `model.layers.3.mlp.up_proj.weight` is `blk.3.ffn_up.weight`. */
export function ggufName(name: string): string {
  const [, path, ending] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
  const [, layer, part] = /^model\.layers\.(\d+)\.(.*)$/.exec(path ?? "") ?? [];
  const found = layer === undefined ? wholes[path ?? ""] : toGguf[part!] && `blk.${layer}.${toGguf[part!]}`;
  if (!found) throw new TypeError(`${name} is no weight of a Llama`);
  return `${found}.${ending}`;
}

/** Whether llama.cpp keeps the rows of this weight in another order in files of the architecture `llama`. */
export function hasInterleavedRows(name: string): boolean {
  return /\.self_attn\.[qk]_proj\.(?:weight|bias)$/.test(name);
}

/** Every weight of a `LlamaForCausalLM` of this configuration, by its GGUF name: its shape. */
export function ggufShapes(config: LlamaConfig): Map<string, readonly number[]> {
  const { vocabSize, hiddenSize: dim, intermediateSize, numAttentionHeads, numKeyValueHeads } = config;
  const headDim = config.headDim ?? dim / numAttentionHeads;
  const [queries, keys] = [numAttentionHeads * headDim, numKeyValueHeads * headDim];
  const shapes = new Map<string, readonly number[]>([["token_embd.weight", [vocabSize, dim]]]);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const add = (part: string, ...shape: number[]) => shapes.set(`blk.${layer}.${part}`, shape);
    add("attn_norm.weight", dim);
    add("ffn_norm.weight", dim);
    for (const [part, rows] of [
      ["attn_q", queries],
      ["attn_k", keys],
      ["attn_v", keys],
    ] as const) {
      add(`${part}.weight`, rows, dim);
      if (config.attentionBias) add(`${part}.bias`, rows);
    }
    add("attn_output.weight", dim, queries);
    add("ffn_gate.weight", intermediateSize, dim);
    add("ffn_up.weight", intermediateSize, dim);
    add("ffn_down.weight", dim, intermediateSize);
  }
  shapes.set("output_norm.weight", [dim]);
  if (!config.tieWordEmbeddings) shapes.set("output.weight", [vocabSize, dim]);
  return shapes;
}
