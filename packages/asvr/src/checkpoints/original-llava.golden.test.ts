import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setThreads, writeSafetensors } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily } from "@asvr/torch/testing";
import { afterAll, expect } from "vitest";
import { Llava } from "../model/llava.js";
import type { Config, Sidecar } from "../model/official-step.fixture.js";
import { loadOriginalLlava } from "./original-llava.js";

setThreads(1); // test files run side by side
const root = mkdtempSync(join(tmpdir(), "asvr-original-"));
afterAll(() => rmSync(root, { recursive: true }));

for (const language of ["llama", "mistral", "qwen2"] as const) {
  goldenFamily<Config, Sidecar>(`g_asvr_${language}`, (golden) => {
    using llava = loadOriginalLlava(writeOfficial(golden, language)).llava as Llava;
    expect(llava).toBeInstanceOf(Llava);
    const features = llava.imageFeatures(golden.tensor("in/images"));
    const expected = golden.tensor("out/image_features");
    const step = Math.ceil(features.size(1) / expected.size(1)); // of the large one a part of the positions is kept
    const kept = step === 1 ? features : features.slice(1, 0, features.size(1), step);
    expectClose(kept, expected, golden.tolerance.forward, "image features");
  });
}

/** A golden's weights as a folder of ASVR's own code: visual head and tokenizer beside what an answer needs. */
function writeOfficial(golden: Golden<Config, Sidecar>, language: "llama" | "mistral" | "qwen2"): string {
  const { config } = golden;
  const folder = mkdtempSync(join(root, "folder-"));
  const tower = mkdtempSync(join(root, "tower-"));
  const weights = golden.weights();
  writeSafetensors(join(folder, "model.safetensors"), weights);
  writeFileSync(
    join(tower, "config.json"),
    JSON.stringify({
      ...{ model_type: "siglip_vision_model", hidden_size: config.v_hidden, intermediate_size: config.v_inter },
      ...{ num_hidden_layers: config.v_layers, num_attention_heads: config.v_heads, image_size: config.image },
      ...{ patch_size: config.patch, layer_norm_eps: config.layer_norm_eps },
    }),
  );
  const half = [0.5, 0.5, 0.5];
  writeFileSync(
    join(tower, "preprocessor_config.json"),
    JSON.stringify({
      ...{ image_processor_type: "SiglipImageProcessor", image_mean: half, image_std: half },
      size: { height: config.image, width: config.image },
    }),
  );
  writeFileSync(
    join(folder, "config.json"),
    JSON.stringify({
      ...{ model_type: `asvr_${language}`, vocab_size: config.vocab, hidden_size: config.hidden },
      ...{ intermediate_size: config.inter, num_hidden_layers: config.layers, num_attention_heads: config.heads },
      ...{ num_key_value_heads: config.kv_heads, rms_norm_eps: config.rms_norm_eps, rope_theta: config.rope_theta },
      ...{ mm_vision_tower: tower, mm_projector_type: "mlp2x_gelu", mm_vision_select_layer: -2 },
      ...{ sliding_window: config.window ?? null, tie_word_embeddings: !weights.has("lm_head.weight") },
    }),
  );
  return folder;
}
