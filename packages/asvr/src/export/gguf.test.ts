import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { manualSeed, memory, noGrad, type Tensor, tidy } from "@asvr/torch";
import { gguf } from "@huggingface/gguf";
import { afterAll, afterEach, expect, test } from "vitest";
import { tinyLlava } from "../checkpoints/fixture.js";
import { openGguf } from "../checkpoints/gguf/file.js";
import { readGgufHeader } from "../checkpoints/gguf/header.js";
import { loadGgufLanguageModel } from "../checkpoints/gguf/language-model.js";
import { visionName } from "../checkpoints/gguf/vision-names.js";
import { writeGguf } from "../checkpoints/gguf/write.js";
import { llavaConfig } from "../checkpoints/llava-config.js";
import { ConfigError } from "../errors.js";
import { type LlamaConfig, LlamaForCausalLM } from "../language/llama.js";
import { Llava, type LlavaConfig } from "../model/llava.js";
import { sourceOf, untrainedRow } from "./fixture.js";
import { exportGguf } from "./gguf.js";
import { languageFields, languageWeights } from "./gguf-language.js";
import { visionFields, visionWeights } from "./gguf-vision.js";
import { exportHuggingFace } from "./hf.js";
import { hubSource } from "./source.js";

const root = mkdtempSync(join(tmpdir(), "asvr-export-gguf-"));
afterAll(() => rmSync(root, { recursive: true }));
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));
let count = 0;
const newFolder = () => join(root, `out-${count++}`);
const golden = fileURLToPath(new URL("../../goldens/numerics/hf-llava-tiny", import.meta.url));

const dtypes = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/** What is left of a weight in a file. */
const stored = (weight: Tensor, type: keyof typeof dtypes) => weight.to(dtypes[type]).to("float32");

test.each(["F32", "F16", "BF16"] as const)("a run in llama.cpp's files comes back, matrices in %s", async (type) => {
  using row = untrainedRow();
  using source = sourceOf(row);
  const out = newFolder();
  const { files } = await exportGguf(source, out, { name: "a run", type });
  expect(readdirSync(out).sort()).toEqual(files);
  const { model } = source;
  using language = loadGgufLanguageModel(join(out, files[0]!));
  expect(language.config).toEqual({
    ...model.languageModel.config,
    headDim: 32,
    rmsNormEps: Math.fround(1e-5),
    maxPositionEmbeddings: JSON.parse(String(source.files.get("config.json"))).text_config.max_position_embeddings,
  });
  using mmproj = openGguf(join(out, files[1]!));
  tidy(() => {
    const weights = model.languageModel.stateDict();
    for (const [name, found] of language.stateDict()) {
      const wanted = weights.get(name)!;
      const same = found.equal(wanted.shape.length === 1 ? wanted : stored(wanted, type));
      expect([name, same]).toEqual([name, true]);
    }
    const own = [...model.stateDict()].flatMap(([name, weight]) => {
      const found = visionName(name);
      return found === undefined ? [] : [[found, weight] as const];
    });
    expect(own.map(([name]) => name).sort()).toEqual([...mmproj.entries.keys()].sort());
    for (const [name, weight] of own) {
      const wanted = mmproj.entries.get(name)!.type.name === "F32" ? weight : stored(weight, type);
      expect([name, mmproj.tensor(name).equal(wanted)]).toEqual([name, true]);
    }
  });
  expect(mmproj.metadata.get("clip.vision.block_count")).toBe(5);
  expect(mmproj.metadata.get("clip.vision.feature_layer")).toEqual([4]);
});

test("@huggingface/gguf reads the same of both files", async () => {
  using source = await hubSource(golden);
  const out = newFolder();
  const { files } = await exportGguf(source, out, { name: "tiny", type: "F16" });
  for (const file of files) {
    const path = join(out, file);
    using own = openGguf(path);
    const { metadata, tensorInfos } = await gguf(path, { allowLocalFile: true });
    const { version, tensor_count: tensors, kv_count: pairs, ...found } = metadata as Record<string, unknown>;
    expect([version, tensors, pairs]).toEqual([3, BigInt(own.entries.size), BigInt(own.metadata.size)]);
    expect(found).toEqual(Object.fromEntries(own.metadata));
    const shapes = tensorInfos.map(({ name, shape, dtype }) => [name, shape.map(Number).reverse(), dtype]);
    const types: Record<string, number> = { F32: 0, F16: 1 };
    expect(shapes).toEqual([...own.entries].map(([name, { shape, type }]) => [name, shape, types[type.name]]));
  }
});

test.each(["chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json"])(
  "a chat template is written, wherever it stands: %s",
  async (name) => {
    using source = await hubSource(golden);
    const others = [...source.files].filter(([file]) => !file.startsWith("chat_template"));
    const json = JSON.parse(String(source.files.get(name) ?? "{}"));
    const template = "{{ messages[0].content }}";
    const content = name.endsWith(".json") ? JSON.stringify({ ...json, chat_template: template }) : template;
    const out = newFolder();
    await exportGguf({ ...source, files: new Map([...others, [name, content]]) }, out, { name: "tiny", type: "F32" });
    using file = openGguf(join(out, "language-F32.gguf"));
    expect(file.metadata.get("tokenizer.chat_template")).toBe(template);
  },
);

test("tokenizers: the tokens, their kinds, and scores by merges", async () => {
  using source = await hubSource(golden);
  const out = newFolder();
  await exportGguf(source, out, { name: "tiny", type: "F32" });
  using file = openGguf(join(out, "language-F32.gguf"));
  const of = (key: string) => file.metadata.get(`tokenizer.ggml.${key}`);
  const tokens = of("tokens") as string[];
  const [kinds, scores] = [of("token_type") as number[], of("scores") as number[]];
  expect([of("model"), tokens.length, kinds.length, scores.length]).toEqual(["llama", 496, 496, 496]);
  expect([...tokens.slice(0, 4), tokens[480], tokens[495]]).toEqual([
    "<unk>",
    "<s>",
    "</s>",
    "<0x00>",
    "<image>",
    "[PAD495]",
  ]);
  expect([0, 1, 3, 300, 480, 495].map((id) => kinds[id])).toEqual([2, 3, 6, 1, 3, 5]);
  // Of two tokens the one whose merge comes first scores higher.
  const words = JSON.parse(String(source.files.get("tokenizer.json")));
  const made = words.model.merges.map((pair: string | string[]) =>
    typeof pair === "string" ? pair.replace(" ", "") : pair.join(""),
  );
  const ranked = [...new Set<string>(made)].map((token) => scores[tokens.indexOf(token)]!);
  expect(ranked.length).toBeGreaterThan(100);
  expect(ranked.every((score, rank) => rank === 0 || score < ranked[rank - 1]!)).toBe(true);
  expect([of("bos_token_id"), of("eos_token_id"), of("add_bos_token")]).toEqual([1, 2, true]);
});

const small: LlamaConfig = {
  ...{ vocabSize: 11, hiddenSize: 16, intermediateSize: 10, numHiddenLayers: 2, numAttentionHeads: 2 },
  ...{
    numKeyValueHeads: 1,
    ropeTheta: 5e5,
    rmsNormEps: 0.5,
    tieWordEmbeddings: false,
    attentionBias: false,
    headDim: 8,
  },
};

test.each<[string, Partial<LlamaConfig>]>([
  ["biases: qwen2", { attentionBias: true }],
  ["rotary scaling, linear", { ropeScaling: { kind: "linear", factor: 4 } }],
  [
    "rotary scaling of Llama 3.1",
    { ropeScaling: { kind: "llama3", factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192 } },
  ],
])("a language model with %s comes back", (_, change) => {
  manualSeed(2);
  using model = new LlamaForCausalLM({ ...small, ...change });
  const path = join(root, "language.gguf");
  const fields = languageFields(model.config, { name: "small", contextLength: 64, type: "F32" });
  noGrad(() => tidy(() => writeGguf(path, fields, languageWeights(model, "F32"))));
  using found = loadGgufLanguageModel(path);
  expect(found.config).toEqual({ ...model.config, maxPositionEmbeddings: 64 });
  tidy(() => {
    const weights = model.stateDict();
    for (const [name, weight] of found.stateDict())
      expect([name, weight.equal(weights.get(name)!)]).toEqual([name, true]);
  });
});

test("a CLIP tower: its class token, its first norm, and the layers that are read", () => {
  using llava = new Llava(llavaConfig({ ...tinyLlava, vision_feature_layer: [1, -3] }) as LlavaConfig);
  const options = { name: "tiny", type: "F32" as const, normalisation: { mean: [0, 0, 0], std: [1, 1, 1] } };
  expect(() => visionFields(llava, options)).toThrow(/hidden states 1, 1 are joined/);
  using plain = new Llava(llavaConfig(tinyLlava));
  const fields = visionFields(plain, options);
  expect(fields.get("clip.use_gelu")).toEqual({ kind: "bool", value: false });
  expect(fields.get("clip.vision.feature_layer")).toEqual({ kind: "array", of: "int32", value: [2] });
  expect(fields.get("clip.vision.block_count")).toEqual({ kind: "uint32", value: 3 });
  tidy(() => {
    const names = [...visionWeights(plain, "F16").keys()];
    expect(names.filter((name) => !name.includes("blk"))).toEqual([
      ...["v.class_embd", "v.patch_embd.weight", "v.position_embd.weight", "v.pre_ln.weight", "v.pre_ln.bias"],
      ...["mm.0.weight", "mm.0.bias", "mm.2.weight", "mm.2.bias"],
    ]);
    expect(names.filter((name) => name.startsWith("v.blk.2.")).length).toBe(16);
  });
});

test("a LLaVA whose pictures processor_config.json alone describes, with the nulls that Python writes", async () => {
  using row = untrainedRow();
  using run = sourceOf(row);
  const [folder, out] = [join(root, "five"), join(root, "five-gguf")];
  await exportHuggingFace(run, folder);
  const inner = JSON.parse(readFileSync(join(folder, "preprocessor_config.json"), "utf8"));
  rmSync(join(folder, "preprocessor_config.json"));
  const processor = { image_processor: { ...inner, crop_size: null, do_center_crop: null, device: null } };
  writeFileSync(join(folder, "processor_config.json"), JSON.stringify(processor));
  using source = await hubSource(folder);
  expect(source.preprocessing()).toMatchObject(run.preprocessing());
  await exportGguf(source, out, { name: "five", type: "F32" });
  const { metadata } = readGgufHeader(join(out, "mmproj-F32.gguf"));
  expect(metadata.get("clip.vision.image_mean")).toEqual(inner.image_mean);
  writeFileSync(
    join(folder, "processor_config.json"),
    JSON.stringify({ image_processor: { ...inner, do_resize: null } }),
  );
  expect(() => source.preprocessing()).toThrow(/image_processor\.do_resize is null: this build leaves no step out/);
});

test("what llama.cpp can't express is refused in words", async () => {
  const options = { name: "small", contextLength: 64, type: "F32" as const };
  const fields = (change: Partial<LlamaConfig>) => () => languageFields({ ...small, ...change }, options);
  expect(fields({ slidingWindows: [4, 4] })).toThrow(ConfigError);
  expect(fields({ slidingWindows: [4, 4] })).toThrow(/sliding windows, which llama\.cpp's llama doesn't know/);
  expect(fields({ ropeScaling: { kind: "dynamic", factor: 2, originalLength: 64 } })).toThrow(/"dynamic"/);
  const vision = (change: Record<string, unknown>) => () => {
    using llava = new Llava(llavaConfig({ ...tinyLlava, ...change }));
    return visionFields(llava, { name: "tiny", type: "F32", normalisation: { mean: [], std: [] } });
  };
  expect(vision({ vision_feature_select_strategy: "full" })).toThrow(/chosen by "full" from a clip tower/);
  expect(vision({ multimodal_projector_bias: false })).toThrow(/projector has no bias/);
  using row = untrainedRow();
  const words = JSON.parse(row.words.tokenizer);
  const tokenizer = (change: Record<string, unknown>) => {
    const source = sourceOf(row);
    const changed = JSON.stringify({ ...words, ...change });
    const files = new Map([...source.files, ["tokenizer.json", changed] as const]);
    const out = exportGguf({ ...source, files }, newFolder(), { name: "a run", type: "F32" });
    return out.finally(() => source[Symbol.dispose]());
  };
  await expect(tokenizer({ model: { ...words.model, type: "Unigram" } })).rejects.toThrow(/is a Unigram/);
  await expect(tokenizer({ model: { ...words.model, ignore_merges: false } })).rejects.toThrow(/no such one/);
  const split = { type: "Split", pattern: { Regex: "x" } };
  const unknown = { type: "Sequence", pretokenizers: [split, { type: "ByteLevel", use_regex: false }] };
  await expect(tokenizer({ pre_tokenizer: unknown })).rejects.toThrow(/splits texts by "x"/);
});
