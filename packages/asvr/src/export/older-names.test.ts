// What transformers 5 saved, handed on, means the same to transformers 4.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  manualSeed,
  noGrad,
  readSafetensors,
  setThreads,
  type Tensor,
  tensor,
  tidy,
  writeSafetensors,
} from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, expect, test } from "vitest";
import { layouts, tinyLlava, writeLlava } from "../checkpoints/fixture.js";
import { llavaConfig } from "../checkpoints/llava-config.js";
import { Llava } from "../model/llava.js";
import { untrainedRow } from "./fixture.js";
import { exportHuggingFace } from "./hf.js";
import { olderNamesIn, withOlderNames } from "./older-names.js";
import { oldest, runPython } from "./peers.fixture.js";
import { type ExportSource, hubSource } from "./source.js";

setThreads(1);
const root = mkdtempSync(join(tmpdir(), "asvr-older-names-"));
afterAll(() => rmSync(root, { recursive: true }));

const llama3 = {
  ...{ rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
  original_max_position_embeddings: 64,
};
const whole = { ...tinyLlava, dtype: "float32", image_seq_length: 9 };
const text = { ...tinyLlava.text_config, vocab_size: 32, max_position_embeddings: 128, dtype: "float32" };

/** config.json as transformers 5 writes it. */
const saved = {
  llama: {
    ...{ ...whole, tie_word_embeddings: false },
    text_config: { ...text, model_type: "llama", rope_parameters: { ...llama3, rope_theta: 1e6 } },
  },
  qwen2: {
    ...{ ...whole, tie_word_embeddings: true },
    text_config: {
      ...{ ...text, model_type: "qwen2", use_sliding_window: false, layer_types: ["full_attention", "full_attention"] },
      rope_parameters: { rope_type: "default", rope_theta: 1e6 },
    },
  },
};

test("keys that version 5 renamed are there by both names, and mean the same here", () => {
  expect(withOlderNames(saved.llama)).toMatchObject({
    torch_dtype: "float32",
    text_config: { rope_theta: 1e6, rope_scaling: llama3, rope_parameters: { rope_theta: 1e6 } },
  });
  const qwen2 = withOlderNames(saved.qwen2);
  expect(qwen2).toMatchObject({ text_config: { rope_theta: 1e6, tie_word_embeddings: true } });
  expect(qwen2.text_config).not.toHaveProperty("rope_scaling");
  for (const config of Object.values(saved)) {
    const renamed = withOlderNames(config);
    expect(llavaConfig(renamed)).toEqual(llavaConfig(config));
    expect(withOlderNames(renamed)).toBe(renamed);
  }
  expect(withOlderNames(tinyLlava)).toBe(tinyLlava);
});

test("numbers stay as they are written", () => {
  const text = '{"dtype": "float32", "a": 1.0, "b": [1e-05, -2], "c": "1.0 \\"2.0", "d": 1}';
  const made = olderNamesIn(text);
  expect(made.replaceAll(/\s/g, "")).toBe(
    '{"dtype":"float32","a":1.0,"b":[1e-05,-2],"c":"1.0\\"2.0","d":1,"torch_dtype":"float32"}',
  );
  expect(olderNamesIn(made)).toBe(made);
});

const script = `
import json, sys, torch
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration
root, names = sys.argv[1], sys.argv[2:]
inputs, found = load_file(root + "/inputs.safetensors"), {}
for name in names:
    model, loading = LlavaForConditionalGeneration.from_pretrained(f"{root}/{name}", output_loading_info=True)
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), loading
    with torch.no_grad():
        found[name] = model.eval()(**inputs, attention_mask=torch.ones_like(inputs["input_ids"])).logits.contiguous()
save_file(found, root + "/found.safetensors")
`;

test.skipIf(oldest.python === undefined)(
  `logits in ${oldest.name}`,
  async () => {
    manualSeed(1);
    using row = untrainedRow();
    const ids = Array.from({ length: 40 }, (_, position) => (position < 9 ? 20 : (position * 7) % 19));
    const pixels = Float32Array.from({ length: 3 * 21 * 21 }, (_, index) => Math.sin(index));
    const inputs = () =>
      new Map([
        ["input_ids", tensor([ids]).to("int64")],
        ["pixel_values", tensor(pixels, { shape: [1, 3, 21, 21] })],
      ]);
    tidy(() => writeSafetensors(join(root, "inputs.safetensors"), inputs()));
    // Larger than at the start of training, so that positions matter.
    const change = (weights: Map<string, Tensor>) => {
      for (const [name, weight] of weights)
        if (/_proj\.weight|embed_tokens/.test(name)) weights.set(name, weight.mul(5));
    };
    const sources: { name: string; source: ExportSource }[] = [];
    for (const [name, config] of Object.entries(saved)) {
      using fresh = new Llava(llavaConfig(config));
      const folder = writeLlava(root, fresh, config, { layout: layouts["model.vision_tower"]!, change });
      writeFileSync(join(folder, "tokenizer.json"), row.words.tokenizer);
      writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify(row.words.config));
      const source = await hubSource(folder);
      await exportHuggingFace(source, join(root, name));
      sources.push({ name, source });
    }
    runPython(oldest.python!, script, [root, ...Object.keys(saved)]);
    noGrad(() =>
      tidy(() => {
        const found = readSafetensors(join(root, "found.safetensors")).tensors;
        for (const { name, source } of sources) {
          const model = source.model as Llava;
          const own = inputs();
          const logits = model.logits(model.forward(own.get("input_ids")!, own.get("pixel_values")!));
          expectClose(found.get(name)!, logits, { rtol: 1e-4, atol: 1e-3 }, name);
        }
      }),
    );
    for (const { source } of sources) source[Symbol.dispose]();
  },
  300_000,
);
