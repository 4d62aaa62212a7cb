import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CheckpointError,
  F,
  manualSeed,
  memory,
  noGrad,
  ShapeError,
  setThreads,
  type Tensor,
  tensor,
  tidy,
} from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, expect, test } from "vitest";
import { Llava } from "../model/llava.js";
import { layouts, tinyLlava, writeLlava } from "./fixture.js";
import { loadLlava } from "./llava.js";
import { llavaConfig } from "./llava-config.js";

setThreads(1); // test files run side by side
manualSeed(5);
const before = memory().tensors;
const root = mkdtempSync(join(tmpdir(), "asvr-llava-"));
const model = new Llava(llavaConfig(tinyLlava));
afterAll(() => {
  model.dispose();
  rmSync(root, { recursive: true });
  expect(memory().tensors).toBe(before);
});

const exact = { rtol: 0, atol: 0 };
const inputIds = [1, ...Array<number>(9).fill(20), 7, 4];

function logitsOf(llava: Llava): Tensor {
  return noGrad(() =>
    tidy(() => {
      const pixelValues = F.arange(0, 3 * 21 * 21, 1, "float32")
        .sin()
        .view([1, 3, 21, 21]);
      return llava.logits(llava.forward(tensor([inputIds]).to("int64"), pixelValues));
    }),
  );
}

function expectSame(folder: string, like = model): void {
  using loaded = loadLlava(folder);
  tidy(() => expectClose(logitsOf(loaded), logitsOf(like), exact));
}

test.each(Object.entries(layouts))("reads the layout %s, in one file and in shards", (_, layout) => {
  expectSame(writeLlava(root, model, tinyLlava, { layout }));
  expectSame(writeLlava(root, model, tinyLlava, { layout, shards: 3 }));
});

test("reads a SigLIP tower, all its positions from two layers, a Qwen2 with tied embeddings, a projector of its own", () => {
  const config = {
    ...{ ...tinyLlava, vision_feature_layer: [-2, 1], vision_feature_select_strategy: "full" },
    ...{ projector_hidden_act: "gelu_pytorch_tanh", multimodal_projector_bias: false, tie_word_embeddings: true },
    text_config: { ...tinyLlava.text_config, model_type: "qwen2" },
    vision_config: { ...tinyLlava.vision_config, model_type: "siglip_vision_model" },
  };
  using qwen2 = new Llava(llavaConfig(config));
  expect([qwen2.features.positions, qwen2.features.dim]).toEqual([9, 24]);
  tidy(() => {
    const names = [...qwen2.stateDict().keys()];
    expect(names).toContain("language_model.model.layers.0.self_attn.q_proj.bias");
    expect(names.filter((name) => name.startsWith("multi_modal_projector"))).toEqual([
      "multi_modal_projector.0.weight",
      "multi_modal_projector.2.weight",
    ]);
  });
  expectSame(writeLlava(root, qwen2, config), qwen2);

  const embedding = "language_model.model.embed_tokens.weight";
  const again = (value: (weight: Tensor) => Tensor) => (weights: Map<string, Tensor>) =>
    void weights.set("language_model.lm_head.weight", value(weights.get(embedding)!));
  expectSame(writeLlava(root, qwen2, config, { change: again((weight) => weight.clone()) }), qwen2);
  const other = writeLlava(root, qwen2, config, { change: again((weight) => weight.add(1)) });
  expect(() => loadLlava(other)).toThrow(/ties the output matrix.*lm_head/);
});

test("constants that older files hold beside the weights are passed over", () => {
  const change = (weights: Map<string, Tensor>) => {
    weights.set("vision_tower.vision_model.embeddings.position_ids", F.arange(0, 10, 1, "int64"));
    weights.set("language_model.model.layers.0.self_attn.rotary_emb.inv_freq", F.ones([2]));
  };
  expectSame(writeLlava(root, model, tinyLlava, { change }));
});

test("weights that are missing, misshapen or not used are all named, and nothing stays behind", () => {
  const held = memory().tensors;
  const folder = writeLlava(root, model, tinyLlava, {
    change: (weights) => {
      weights.delete("multi_modal_projector.linear_1.bias");
      weights.set("language_model.model.norm.weight", F.ones([3]));
      weights.set("language_model.model.layers.7.mlp.up_proj.weight", F.ones([3]));
      weights.set("image_newline", F.ones([16]));
    },
  });
  const load = () => loadLlava(folder);
  expect(load).toThrow(CheckpointError);
  expect(load).toThrow(/missing: multi_modal_projector\.0\.bias \(16\)/);
  expect(load).toThrow(/shape: language_model\.model\.norm\.weight is \(3\), the model has \(16\)/);
  expect(load).toThrow(/unexpected: language_model\.model\.layers\.7\.mlp\.up_proj\.weight/);
  expect(load).toThrow(/unexpected: image_newline/);
  const twice = writeLlava(root, model, tinyLlava, {
    change: (weights) => void weights.set("lm_head.weight", F.ones([19, 16])),
  });
  expect(() => loadLlava(twice)).toThrow(/language_model\.lm_head\.weight and lm_head\.weight are both/);
  expect(memory().tensors).toBe(held);
});

test("an index that disagrees with its shards is refused, as are folders without weights or configuration", () => {
  const held = memory().tensors;
  const folder = writeLlava(root, model, tinyLlava, { shards: 2 });
  const index = join(folder, "model.safetensors.index.json");
  const { weight_map: map } = JSON.parse(readFileSync(index, "utf8")) as { weight_map: Record<string, string> };
  const name = "language_model.model.norm.weight";
  const expectRefused = (json: unknown, message: RegExp) => {
    writeFileSync(index, JSON.stringify(json));
    expect(() => loadLlava(folder)).toThrow(message);
  };
  const wrong = map[name] === "model-0.safetensors" ? "model-1.safetensors" : "model-0.safetensors";
  expectRefused({ weight_map: { ...map, [name]: wrong } }, new RegExp(`${name}" is not in ${wrong}`));
  expectRefused({ weight_map: { ...map, [name]: "../model.safetensors" } }, /\.\.\/model\.safetensors/);
  expectRefused({ weights: {} }, /weight_map/);
  for (const file of readdirSync(folder)) if (file !== "config.json") rmSync(join(folder, file));
  expect(() => loadLlava(folder)).toThrow(/there are no weights/);
  rmSync(join(folder, "config.json"));
  expect(() => loadLlava(folder)).toThrow(/config\.json: can't be read/);
  expect(memory().tensors).toBe(held);
});

test("pictures and image tokens must agree", () => {
  tidy(() => {
    const ids = tensor([inputIds]).to("int64");
    expect(() => model.forward(ids, null)).toThrow(ShapeError);
    expect(() => model.forward(ids, F.zeros([2, 3, 21, 21]))).toThrow(
      /the pictures are 18 features, but the texts have 9 image tokens \(id 20\)/,
    );
    const text = tensor([[1, 7, 4]]).to("int64");
    expect(model.forward(text, null).shape).toEqual([1, 3, 16]);
  });
});
