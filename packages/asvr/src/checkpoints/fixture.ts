import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noGrad, type Tensor, tidy, writeSafetensors } from "@asvr/torch";
import type { Llava } from "../model/llava.js";

/** A tiny LLaVA as Hugging Face's config.json has it: a CLIP tower of 3 x 3 patches and a Mistral. */
export const tinyLlava = {
  model_type: "llava",
  image_token_index: 20,
  text_config: {
    ...{ model_type: "mistral", vocab_size: 19, hidden_size: 16, intermediate_size: 12, num_hidden_layers: 2 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, sliding_window: null },
  },
  vision_config: {
    ...{ model_type: "clip_vision_model", hidden_size: 12, intermediate_size: 20, num_hidden_layers: 3 },
    ...{ num_attention_heads: 3, image_size: 21, patch_size: 7 },
  },
};

/** How hub checkpoints have spelt the names of `Llava`, newest last. */
export const layouts: Readonly<Record<string, (name: string) => string>> = {
  "language_model.model": (name) => projectorName(name).replace("vision_tower.", "vision_tower.vision_model."),
  "model.language_model": (name) => newName(name).replace("model.vision_tower.", "model.vision_tower.vision_model."),
  "model.vision_tower": newName,
};

function newName(name: string): string {
  const inside = projectorName(name).replace(/^language_model\.model\./, "language_model.");
  return inside.startsWith("language_model.lm_head.") ? inside.replace("language_model.", "") : `model.${inside}`;
}

function projectorName(name: string): string {
  return name.replace("projector.0.", "projector.linear_1.").replace("projector.2.", "projector.linear_2.");
}

/** Writes a model as a checkpoint folder inside `root`. `change` may add, rename or take away weights. */
export function writeLlava(
  root: string,
  model: Llava,
  config: unknown,
  {
    layout = layouts["language_model.model"]!,
    shards = 1,
    change,
  }: { layout?: (name: string) => string; shards?: number; change?: (weights: Map<string, Tensor>) => void } = {},
): string {
  const folder = mkdtempSync(join(root, "llava-"));
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  noGrad(() =>
    tidy(() => {
      const weights = new Map([...model.stateDict()].map(([name, tensor]) => [layout(name), tensor]));
      change?.(weights);
      if (shards === 1) return writeSafetensors(join(folder, "model.safetensors"), weights);
      const map: Record<string, string> = {};
      const entries = [...weights];
      for (let shard = 0; shard < shards; shard++) {
        const name = `model-${shard}.safetensors`;
        const own = entries.filter((_, index) => index % shards === shard);
        for (const [weight] of own) map[weight] = name;
        writeSafetensors(join(folder, name), new Map(own));
      }
      writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
    }),
  );
  return folder;
}
