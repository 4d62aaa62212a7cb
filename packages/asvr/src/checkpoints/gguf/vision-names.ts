const towerNames: readonly (readonly [own: RegExp, gguf: string])[] = [
  [/^vision_tower\.embeddings\.class_embedding$/, "v.class_embd"],
  [/^vision_tower\.embeddings\.patch_embedding\./, "v.patch_embd."],
  [/^vision_tower\.embeddings\.position_embedding\./, "v.position_embd."],
  [/^vision_tower\.pre_layrnorm\./, "v.pre_ln."],
  [/^vision_tower\.encoder\.layers\.(\d+)\.layer_norm([12])\./, "v.blk.$1.ln$2."],
  [/^vision_tower\.encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\./, "v.blk.$1.attn_$2."],
  [/^vision_tower\.encoder\.layers\.(\d+)\.self_attn\.out_proj\./, "v.blk.$1.attn_out."],
  [/^vision_tower\.encoder\.layers\.(\d+)\.mlp\.fc1\./, "v.blk.$1.ffn_up."],
  [/^vision_tower\.encoder\.layers\.(\d+)\.mlp\.fc2\./, "v.blk.$1.ffn_down."],
  [/^multi_modal_projector\.([02])\./, "mm.$1."],
];

/** The name in an mmproj file of a weight of `Llava`; undefined for those that are none of it: heads and the last norm. */
export function visionName(name: string): string | undefined {
  const found = towerNames.find(([own]) => own.test(name));
  return found && name.replace(found[0], found[1]);
}
