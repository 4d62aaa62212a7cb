import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { F, memory, type nn, noGrad, openWeights, type Tensor, tensor, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, afterEach, expect, test } from "vitest";
import { tinyNextFolder } from "../chat/fixture.js";
import { layouts, tinyLlava, writeLlava } from "../checkpoints/fixture.js";
import { loadLlava, loadLlavaNext } from "../checkpoints/llava.js";
import { llavaConfig } from "../checkpoints/llava-config.js";
import { ConfigError } from "../errors.js";
import { Llava } from "../model/llava.js";
import { sourceOf, untrainedRow } from "./fixture.js";
import { exportGguf } from "./gguf.js";
import { exportHuggingFace } from "./hf.js";
import { hubLlavaConfig } from "./hub-config.js";
import { runAsLlava } from "./run-llava.js";
import { type ExportSource, hubSource } from "./source.js";

const root = mkdtempSync(join(tmpdir(), "asvr-export-"));
afterAll(() => rmSync(root, { recursive: true }));
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));
let count = 0;
const newFolder = () => join(root, `out-${count++}`);

function expectSameWeights(found: nn.Module, wanted: nn.Module): void {
  tidy(() => {
    const weights = wanted.stateDict();
    const same = [...found.stateDict()].map(([name, weight]) => [name, weight.equal(weights.get(name)!)]);
    expect(same).toEqual([...weights.keys()].map((name) => [name, true]));
  });
}

test("a run as a LLaVA gives the run's own logits from pixels, the normalisation of features included", () => {
  using row = untrainedRow();
  using llava = runAsLlava(row);
  const { parts, model, recipe } = row;
  const size = recipe.encoder.imageSize;
  noGrad(() =>
    tidy(() => {
      const pixels = F.randn([2, 3, size, size]).mul(2);
      const inputIds = tensor([
        [1, ...Array<number>(16).fill(3), 300, 301],
        [1, 299, ...Array<number>(16).fill(3), 302],
      ]).to("int64");
      const positions = inputIds.eq(3).flatten().nonzero().flatten();
      const { hiddenSize: dim, selectLayer } = recipe.encoder;
      const features = F.layerNorm(parts.encoder.hiddenState(pixels, selectLayer), [dim]);
      const states = model.language.model.forward(model.embed({ inputIds, imagePositions: positions }, features));
      const wanted = model.language.logits(states);
      expectClose(llava.logits(llava.forward(inputIds, pixels)), wanted, { rtol: 0, atol: 1e-4 });
    }),
  );
});

test("what was exported is loaded to the bit, and exported again it has the same bytes", async () => {
  using row = untrainedRow();
  using source = sourceOf(row);
  const [first, second] = [newFolder(), newFolder()];
  const { files, parameters } = await exportHuggingFace(source, first);
  expect(files).toEqual(readdirSync(first).sort());
  expect(parameters).toBe(source.model.parameterCount());
  using loaded = loadLlava(first);
  expect(loaded.config).toMatchObject({ imageTokenId: 3, selection: { layers: [-2], strategy: "full" } });
  expectSameWeights(loaded, source.model);
  using again = await hubSource(first);
  await exportHuggingFace(again, second);
  for (const file of files)
    expect([file, readFileSync(join(second, file)).equals(readFileSync(join(first, file)))]).toEqual([file, true]);
});

test("weights of more than a shard have an index", async () => {
  using row = untrainedRow();
  using source = sourceOf(row);
  const out = newFolder();
  await exportHuggingFace(source, out, { shardBytes: 2e6 });
  const shards = readdirSync(out).filter((name) => /^model-0000\d-of-00004\.safetensors$/.test(name));
  expect(shards.length).toBe(4);
  const { metadata, weight_map: map } = JSON.parse(readFileSync(join(out, "model.safetensors.index.json"), "utf8"));
  expect(metadata.total_size).toBe(4 * source.model.parameterCount());
  using opened = openWeights(out);
  expect(new Set(Object.keys(map))).toEqual(new Set(opened.entries.keys()));
  using loaded = loadLlava(out);
  expectSameWeights(loaded, source.model);
});

test("a LLaVA of Hugging Face's comes out with its own files, names and dtype", async () => {
  using model = new Llava(llavaConfig(tinyLlava));
  const half = (weights: Map<string, Tensor>) => {
    for (const [name, weight] of weights) weights.set(name, weight.to("bfloat16"));
  };
  const folder = writeLlava(root, model, tinyLlava, {
    layout: layouts["model.vision_tower"]!,
    shards: 3,
    change: half,
  });
  const out = newFolder();
  await expect(hubSource(folder)).rejects.toThrow(/has neither tokenizer\.json nor tokenizer\.model/);
  using row = untrainedRow();
  writeFileSync(join(folder, "tokenizer.json"), row.words.tokenizer);
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify(row.words.config));
  using source = await hubSource(folder);
  const { files } = await exportHuggingFace(source, out);
  expect(files).toEqual(["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]);
  using opened = openWeights(out);
  expect(new Set([...opened.entries.values()].map(({ dtype }) => dtype))).toEqual(new Set(["bfloat16"]));
  using loaded = loadLlava(out, { dtype: "bfloat16" });
  expectSameWeights(loaded, source.model);
});

test("a LLaVA-NeXT of Hugging Face's comes out as it is; of GGUF it is refused", async () => {
  const [out, again] = [newFolder(), newFolder()];
  using source = await hubSource(tinyNextFolder);
  const { files, parameters } = await exportHuggingFace(source, out);
  expect(parameters).toBe(source.model.parameterCount());
  using loaded = loadLlavaNext(out);
  expectSameWeights(loaded, source.model);
  using second = await hubSource(out);
  await exportHuggingFace(second, again);
  for (const file of files)
    expect([file, readFileSync(join(again, file)).equals(readFileSync(join(out, file)))]).toEqual([file, true]);
  await expect(exportGguf(source, newFolder(), { name: "next", type: "F32" })).rejects.toThrow(/no GGUF of LLaVA-NeXT/);
});

test("what a LLaVA can't express is refused in words", () => {
  const refused = (change: Parameters<typeof untrainedRow>[0]) => {
    using row = untrainedRow(change);
    runAsLlava(row).dispose();
  };
  expect(() => refused({ visualInput: "discrete" })).toThrow(ConfigError);
  expect(() => refused({ visualInput: "discrete" })).toThrow(/embeddings of discrete codes.*can't express/);
  expect(() => refused({ encoder: { intermediateSize: 255 } })).toThrow(/255 hidden units.*128 features/);
});

test("a folder appears whole or not at all, and none is written over", async () => {
  using row = untrainedRow();
  using source = sourceOf(row);
  const broken: ExportSource = { ...source, files: new Map([["no/such/folder", ""]]) };
  const [out, full] = [newFolder(), newFolder()];
  const names = readdirSync(root);
  await expect(exportHuggingFace(broken, out)).rejects.toThrow(/ENOENT/);
  const whole = newFolder();
  await exportHuggingFace(source, whole);
  expect(statSync(whole).mode & 0o777).toBe(0o777 & ~process.umask());
  rmSync(whole, { recursive: true });
  expect(readdirSync(root)).toEqual(names);
  mkdirSync(full);
  writeFileSync(join(full, "mine"), "");
  await expect(exportHuggingFace(source, full)).rejects.toThrow(/is not empty: name a new folder/);
  await expect(exportHuggingFace(source, join(full, "mine"))).rejects.toThrow(/is no folder/);
  expect(existsSync(join(full, "mine"))).toBe(true);
});

test("configurations come back as they were", () => {
  const { text_config: text, vision_config: vision } = tinyLlava;
  const variants: Record<string, unknown>[] = [
    tinyLlava,
    { ...tinyLlava, text_config: { ...text, sliding_window: 7, head_dim: 8 }, vision_feature_layer: [-2, 1] },
    {
      ...tinyLlava,
      text_config: { ...text, model_type: "qwen2", tie_word_embeddings: true },
      projector_hidden_act: "quick_gelu",
    },
    {
      ...tinyLlava,
      text_config: { ...text, rope_scaling: { type: "linear", factor: 2 } },
      multimodal_projector_bias: false,
    },
    {
      ...tinyLlava,
      text_config: { ...text, rope_scaling: { rope_type: "dynamic", factor: 2 }, max_position_embeddings: 64 },
    },
    {
      ...tinyLlava,
      vision_config: { ...vision, model_type: "siglip_vision_model", vision_use_head: false },
      text_config: {
        ...text,
        ...{ model_type: "llama", rope_theta: 5e5 },
        rope_scaling: {
          ...{ rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
          original_max_position_embeddings: 64,
        },
      },
    },
  ];
  for (const variant of variants) {
    const config = llavaConfig(variant);
    expect(llavaConfig(hubLlavaConfig(config, 128))).toEqual(config);
  }
  const [first] = variants.map((variant) => llavaConfig(variant));
  const windows =
    (slidingWindows: (number | null)[], attentionBias = false) =>
    () =>
      hubLlavaConfig({ ...first!, language: { ...first!.language, slidingWindows, attentionBias } }, 128);
  expect(windows([7, null])).toThrow(/different sliding windows \(7, \)/);
  expect(windows([7, 7], true)).toThrow(/both sliding windows and biases/);
});
