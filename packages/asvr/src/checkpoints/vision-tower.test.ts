import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CheckpointError,
  F,
  manualSeed,
  memory,
  noGrad,
  setThreads,
  type Tensor,
  tidy,
  writeSafetensors,
} from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { Llava } from "../model/llava.js";
import { buildTower } from "../vision/tower.js";
import { VisualFeatures } from "../vision/visual-features.js";
import { tinyLlava, writeLlava } from "./fixture.js";
import { loadLlava } from "./llava.js";
import { llavaConfig } from "./llava-config.js";
import { visionConfig } from "./vision-config.js";
import { loadVisionTower } from "./vision-tower.js";

setThreads(1); // test files run side by side
manualSeed(7);
const before = memory().tensors;
const root = mkdtempSync(join(tmpdir(), "asvr-towers-"));
afterAll(() => {
  rmSync(root, { recursive: true });
  expect(memory().tensors).toBe(before);
});

const sizes = { hidden_size: 16, num_hidden_layers: 3, num_attention_heads: 2, image_size: 28, patch_size: 7 };
const wide = { ...sizes, intermediate_size: 20 };
const dinov2 = { ...sizes, model_type: "dinov2", mlp_ratio: 2 };
/** config.json of a tower of each kind; how its names begin in a checkpoint; positions that are no patches. */
const towers = {
  clip: { config: { ...wide, model_type: "clip_vision_model" }, prefix: "vision_model.", prefixTokens: 1 },
  siglip: { config: { ...wide, model_type: "siglip_vision_model" }, prefix: "vision_model.", prefixTokens: 0 },
  "siglip 2, NaFlex": {
    config: { ...wide, model_type: "siglip2_vision_model", num_patches: 16 },
    ...{ prefix: "vision_model.", prefixTokens: 0 },
  },
  dinov2: { config: dinov2, prefix: "", prefixTokens: 1 },
  dinov3: { config: { ...wide, model_type: "dinov3_vit", num_register_tokens: 2 }, prefix: "", prefixTokens: 3 },
  "depth anything": {
    config: {
      ...{ model_type: "depth_anything", neck_hidden_sizes: [4, 6, 8, 8], fusion_hidden_size: 8, head_hidden_size: 4 },
      backbone_config: { ...dinov2, out_indices: [0, 1, 2, 3] },
    },
    ...{ prefix: "", prefixTokens: 1 },
  },
} as const;

interface Written {
  readonly prefix?: string;
  readonly change?: (weights: Map<string, Tensor>) => void;
}

/** A folder with a tower's configuration and random weights. */
function write(config: object, { prefix = "", change }: Written = {}): string {
  const folder = mkdtempSync(join(root, "tower-"));
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  using tower = buildTower(visionConfig(config as Record<string, unknown>, { file: "config.json" }));
  noGrad(() =>
    tidy(() => {
      const weights = new Map([...tower.stateDict()].map(([name, tensor]) => [prefix + name, tensor.clone()]));
      change?.(weights);
      writeSafetensors(join(folder, "model.safetensors"), weights);
    }),
  );
  return folder;
}

test.each(Object.entries(towers))(
  "loads a folder of %s, and it is an encoder",
  (_, { config, prefix, prefixTokens }) => {
    const folder = write(config, { prefix });
    using tower = loadVisionTower(folder);
    using narrow = loadVisionTower(folder, { dtype: "bfloat16" });
    noGrad(() =>
      tidy(() => {
        const pixelValues = F.randn([2, 3, 28, 28]);
        const states = tower.hiddenStates(pixelValues);
        expect(states.map(({ shape }) => shape)).toEqual(Array(4).fill([2, 16 + prefixTokens, 16]));
        for (const index of [0, 2, -1, -2]) {
          const close = { rtol: 1e-5, atol: 1e-5 };
          expectClose(tower.hiddenState(pixelValues, index), states.at(index)!, close, `hidden state ${index}`);
        }
        const features = new VisualFeatures(tower, { layers: [-2], strategy: "patches" });
        expect([features.positions, features.dim]).toEqual([16, 16]);
        expect(features.forward(pixelValues).equal(states[2]!.narrow(1, prefixTokens, 16))).toBe(true);
        const rough = narrow.hiddenState(pixelValues.to("bfloat16"), -2);
        expect(rough.dtype).toBe("bfloat16");
        expectClose(rough.to("float32"), states[2]!, { rtol: 0.1, atol: 0.15 }, "bfloat16");
        expect(() => tower.hiddenState(pixelValues, 4)).toThrow(/no hidden state 4/);
        expect(() => tower.hiddenState(F.zeros([1, 3, 28, 27]), 0)).toThrow(/\(1, 3, 28, 27\)/);
      }),
    );
  },
);

test("of a folder of both towers it loads the vision tower, and passes over what else is there", () => {
  const { model_type: type, ...inner } = towers.siglip.config;
  const config = { model_type: "siglip", vision_config: inner, text_config: { hidden_size: 4 } };
  const folder = write(
    { ...inner, model_type: type },
    {
      prefix: "vision_model.",
      change: (weights) => {
        weights.set("logit_scale", F.ones([1]));
        weights.set("text_model.head.bias", F.ones([4]));
        weights.set("vision_model.embeddings.position_ids", F.arange(0, 16, 1, "int64"));
      },
    },
  );
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  using tower = loadVisionTower(folder);
  expect(tower.positions).toBe(16);
});

test("names that other versions give, and DINO's mask token", () => {
  const renamed = (from: RegExp, to: string) => (weights: Map<string, Tensor>) => {
    for (const [name, tensor] of [...weights]) {
      weights.delete(name);
      weights.set(name.replace(from, to), tensor);
    }
    weights.set("embeddings.mask_token", F.zeros([1, 1, 16]));
  };
  using third = loadVisionTower(write(towers.dinov3.config, { change: renamed(/^layer\./, "model.layer.") }));
  using second = loadVisionTower(write(dinov2, { change: renamed(/^/, "dinov2.") }));
  expect([third.positions, second.positions]).toEqual([19, 17]);
});

test("positions are resized either way", () => {
  const folder = write(dinov2);
  using current = loadVisionTower(folder);
  using offset = loadVisionTower(folder, { positionResizing: "bicubic-offset" });
  tidy(() => {
    const [native, other] = [F.randn([1, 3, 28, 28]), F.randn([1, 3, 21, 49])];
    expect(current.hiddenState(native, 0).equal(offset.hiddenState(native, 0))).toBe(true);
    const difference = current.hiddenState(other, 0).sub(offset.hiddenState(other, 0)).abs().amax().item();
    expect(difference).toBeGreaterThan(1e-4);
    expect(difference).toBeLessThan(0.1);
  });
});

test("a LLaVA may have any of these towers", () => {
  for (const { config } of [towers.dinov3, towers["siglip 2, NaFlex"]]) {
    const json = { ...tinyLlava, vision_config: config, vision_feature_select_strategy: "full" };
    using model = new Llava(llavaConfig(json));
    using loaded = loadLlava(writeLlava(root, model, json));
    tidy(() => {
      const pixelValues = F.randn([1, 3, 28, 28]);
      expect(loaded.imageFeatures(pixelValues).equal(model.imageFeatures(pixelValues))).toBe(true);
    });
  }
});

test("errors name the file, and the field or the weights", () => {
  const held = memory().tensors;
  const folder = write(towers.dinov3.config, {
    change: (weights) => {
      weights.delete("layer.1.norm1.bias");
      weights.set("norm.weight", F.ones([3]));
      weights.set("layer.9.norm1.bias", F.ones([3]));
    },
  });
  const load = () => loadVisionTower(folder);
  expect(load).toThrow(CheckpointError);
  expect(load).toThrow(/model\.safetensors: the weights do not fit Dinov3Tower/);
  expect(load).toThrow(/missing: layer\.1\.norm1\.bias \(16\)/);
  expect(load).toThrow(/shape: norm\.weight is \(3\), the model has \(16\)/);
  expect(load).toThrow(/unexpected: layer\.9\.norm1\.bias/);

  const refused = (config: object | string, message: RegExp) => {
    writeFileSync(join(folder, "config.json"), typeof config === "string" ? config : JSON.stringify(config));
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(message);
  };
  refused('{"model_type": "dinov3_vit", "rope_theta": NaN}', /config\.json: rope_theta is NaN/);
  refused('{"model_type": ', /config\.json: can't be read/);
  refused("[]", /config\.json: is no JSON object/);
  refused({}, /config\.json: model_type is missing/);
  refused({ model_type: "vit" }, /model_type is "vit"; this build has .*dinov3_vit/);
  refused({ model_type: "siglip" }, /vision_config is missing/);
  refused({ model_type: "siglip", vision_config: { hidden_size: "8" } }, /vision_config\.hidden_size is "8"/);
  refused({ ...dinov2, use_swiglu_ffn: true }, /use_swiglu_ffn is true/);
  refused({ ...wide, model_type: "dinov3_vit", num_attention_heads: 8 }, /width of 16 .* 8 heads/);
  refused({ ...wide, model_type: "siglip2_vision_model", num_patches: 15 }, /config\.json: .*num_patches is 15/);
  const depth = towers["depth anything"].config;
  refused({ ...depth, reassemble_factors: [3, 2, 1, 0.4] }, /0\.4 times as fine/);
  refused({ ...depth, neck_hidden_sizes: [4, 6] }, /4 stages .* 2 of the neck/);
  refused({ ...depth, backbone_config: { ...dinov2, out_features: ["layer1"] } }, /out_features has "layer1"/);
  refused({ ...depth, backbone_config: { ...dinov2, model_type: "swin" } }, /backbone_config\.model_type is "swin"/);
  expect(memory().tensors).toBe(held);
});
