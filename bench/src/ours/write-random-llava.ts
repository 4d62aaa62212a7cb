// Writes a LLaVA of random weights as Hugging Face's folders are: a SigLIP so400m tower (729 tokens a picture) before a
// language model of a well-known shape, bfloat16, in shards; or a smaller one of float32 ("mid", 256 tokens a picture).
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { F, manualSeed, noGrad, type Tensor, tidy, writeSafetensors } from "@asvr/torch";
import type { RandomLlava } from "../benches/decode.js";

const { folder, size } = JSON.parse(process.argv[2]!) as RandomLlava;

const shapes = {
  tiny: { hidden: 64, intermediate: 160, layers: 2, heads: 4, kvHeads: 2 },
  small: { hidden: 256, intermediate: 704, layers: 6, heads: 8, kvHeads: 4 },
  mid: { hidden: 512, intermediate: 1376, layers: 12, heads: 8, kvHeads: 8 },
  "1b": { hidden: 2048, intermediate: 5632, layers: 22, heads: 32, kvHeads: 4 }, // TinyLlama
  "7b": { hidden: 4096, intermediate: 11_008, layers: 32, heads: 32, kvHeads: 32 }, // Vicuna
};
const towers = {
  tiny: { hidden: 24, intermediate: 40, layers: 2, heads: 2, image: 56 },
  mid: { hidden: 384, intermediate: 1536, layers: 6, heads: 6, image: 224 },
  so400m: { hidden: 1152, intermediate: 4304, layers: 27, heads: 16, image: 384 },
};
const shape = shapes[size];
const tower = towers[size === "small" ? "tiny" : size === "tiny" || size === "mid" ? size : "so400m"];
const dtype = size === "mid" ? "float32" : "bfloat16";
const elementBytes = dtype === "float32" ? 4 : 2;
const vocabulary = 32_064;
const patch = 14;
const SHARD_BYTES = 4e9;
const SPECIAL_TOKENS = 3; // unknown, beginning and end

const tokenizer = fileURLToPath(new URL("../../../packages/asvr/goldens/numerics/tokenizer-tiny", import.meta.url));
/** Tokens of the tokenizer; the vocabulary is larger, as large ones are. */
const words = Object.keys(JSON.parse(readFileSync(join(tokenizer, "tokenizer.json"), "utf8")).model.vocab).length;

const config = {
  ...{ architectures: ["LlavaForConditionalGeneration"], model_type: "llava", torch_dtype: dtype },
  ...{ image_token_index: 32_000, projector_hidden_act: "gelu", pad_token_id: 0 },
  ...{ vision_feature_layer: -2, vision_feature_select_strategy: "full", tie_word_embeddings: false },
  text_config: {
    ...{ model_type: "llama", vocab_size: vocabulary, hidden_size: shape.hidden, num_hidden_layers: shape.layers },
    ...{ intermediate_size: shape.intermediate, num_attention_heads: shape.heads, num_key_value_heads: shape.kvHeads },
    ...{ max_position_embeddings: 4096, rms_norm_eps: 1e-5, torch_dtype: dtype },
  },
  vision_config: {
    ...{ model_type: "siglip_vision_model", hidden_size: tower.hidden, intermediate_size: tower.intermediate },
    ...{
      num_hidden_layers: tower.layers,
      num_attention_heads: tower.heads,
      image_size: tower.image,
      patch_size: patch,
    },
    ...{ hidden_act: "gelu_pytorch_tanh", layer_norm_eps: 1e-6, vision_use_head: false },
  },
};

/** Name and shape of every weight. */
function* weights(): Generator<[string, number[]]> {
  const vision = "vision_tower.vision_model";
  yield [`${vision}.embeddings.patch_embedding.weight`, [tower.hidden, 3, patch, patch]];
  yield [`${vision}.embeddings.patch_embedding.bias`, [tower.hidden]];
  yield [`${vision}.embeddings.position_embedding.weight`, [Math.floor(tower.image / patch) ** 2, tower.hidden]];
  for (let layer = 0; layer < tower.layers; layer++) {
    const name = `${vision}.encoder.layers.${layer}`;
    for (const norm of ["layer_norm1", "layer_norm2"]) yield* linear(`${name}.${norm}`, [tower.hidden]);
    for (const part of ["q_proj", "k_proj", "v_proj", "out_proj"]) {
      yield* linear(`${name}.self_attn.${part}`, [tower.hidden, tower.hidden]);
    }
    yield* linear(`${name}.mlp.fc1`, [tower.intermediate, tower.hidden]);
    yield* linear(`${name}.mlp.fc2`, [tower.hidden, tower.intermediate]);
  }
  yield* linear(`${vision}.post_layernorm`, [tower.hidden]);
  yield* linear("multi_modal_projector.linear_1", [shape.hidden, tower.hidden]);
  yield* linear("multi_modal_projector.linear_2", [shape.hidden, shape.hidden]);
  const kvSize = (shape.hidden / shape.heads) * shape.kvHeads;
  yield ["language_model.model.embed_tokens.weight", [vocabulary, shape.hidden]];
  for (let layer = 0; layer < shape.layers; layer++) {
    const name = `language_model.model.layers.${layer}`;
    yield [`${name}.input_layernorm.weight`, [shape.hidden]];
    yield [`${name}.mlp.down_proj.weight`, [shape.hidden, shape.intermediate]];
    yield [`${name}.mlp.gate_proj.weight`, [shape.intermediate, shape.hidden]];
    yield [`${name}.mlp.up_proj.weight`, [shape.intermediate, shape.hidden]];
    yield [`${name}.post_attention_layernorm.weight`, [shape.hidden]];
    yield [`${name}.self_attn.k_proj.weight`, [kvSize, shape.hidden]];
    yield [`${name}.self_attn.o_proj.weight`, [shape.hidden, shape.hidden]];
    yield [`${name}.self_attn.q_proj.weight`, [shape.hidden, shape.hidden]];
    yield [`${name}.self_attn.v_proj.weight`, [kvSize, shape.hidden]];
  }
  yield ["language_model.model.norm.weight", [shape.hidden]];
  yield ["language_model.lm_head.weight", [vocabulary, shape.hidden]];
}

function* linear(name: string, sizes: number[]): Generator<[string, number[]]> {
  yield [`${name}.weight`, sizes];
  yield [`${name}.bias`, [sizes[0]!]];
}

/** Different stretches of one pool of numbers: to draw 7 billion of them takes minutes and measures nothing else. */
function fill(pool: Tensor, name: string, sizes: readonly number[], index: number): Tensor {
  const weight = F.empty(sizes, dtype);
  if (sizes.length === 1) return name.endsWith("bias") ? weight.zero_() : weight.fill_(1);
  const flat = weight.flatten();
  const count = pool.elementCount;
  for (let at = 0; at < flat.elementCount; ) {
    const from = (index * 7919 + at) % (count / 2);
    const length = Math.min(count - from, flat.elementCount - at);
    flat.narrow(0, at, length).copy_(pool.narrow(0, from, length));
    at += length;
  }
  if (name === "language_model.lm_head.weight") {
    // Never said: what ends an answer, so that all are of the same length, and what the tokenizer has no word for.
    weight.narrow(0, 0, SPECIAL_TOKENS).zero_();
    weight.narrow(0, words, vocabulary - words).zero_();
  }
  return weight;
}

manualSeed(0);
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "config.json"), JSON.stringify(config, null, 2));
writeFileSync(
  join(folder, "preprocessor_config.json"),
  JSON.stringify({
    ...{ image_processor_type: "SiglipImageProcessor", size: { height: tower.image, width: tower.image }, resample: 3 },
    ...{ do_resize: true, do_rescale: true, do_normalize: true, rescale_factor: 1 / 255 },
    ...{ image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] },
  }),
);
for (const name of ["tokenizer.json", "tokenizer_config.json"]) copyFileSync(join(tokenizer, name), join(folder, name));

const all = [...weights()];
const shards: [string, number[]][][] = [[]];
let bytes = 0;
for (const entry of all) {
  const own = elementBytes * entry[1].reduce((a, b) => a * b, 1);
  if (bytes + own > SHARD_BYTES) shards.push([]);
  bytes = bytes + own > SHARD_BYTES ? own : bytes + own;
  shards.at(-1)!.push(entry);
}
const map: Record<string, string> = {};
noGrad(() =>
  tidy(() => {
    const pool = F.randn([2 ** 24])
      .mul(0.02)
      .to(dtype);
    for (const [number, shard] of shards.entries()) {
      const file = `model-${String(number + 1).padStart(5, "0")}-of-${String(shards.length).padStart(5, "0")}.safetensors`;
      tidy(() => {
        const filled = shard.map(([name, sizes], index): [string, Tensor] => [name, fill(pool, name, sizes, index)]);
        writeSafetensors(join(folder, file), new Map(filled), { format: "pt" });
      });
      for (const [name] of shard) map[name] = file;
    }
  }),
);
const total = all.reduce((sum, [, sizes]) => sum + elementBytes * sizes.reduce((a, b) => a * b, 1), 0);
writeFileSync(
  join(folder, "model.safetensors.index.json"),
  JSON.stringify({ metadata: { total_size: total }, weight_map: map }),
);
process.stdout.write(JSON.stringify({ bytes: total, shards: shards.length }));
