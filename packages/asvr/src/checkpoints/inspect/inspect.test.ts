import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CheckpointError, F, memory, nn, optim, type Tensor, tidy, writeSafetensors } from "@asvr/torch";
import { afterAll, afterEach, expect, test } from "vitest";
import { ConfigError } from "../../errors.js";
import { Llava } from "../../model/llava.js";
import { recipeOf } from "../../recipes/tables.js";
import { saveCheckpoint } from "../../training/checkpoint.js";
import { tinyLlava, writeLlava } from "../fixture.js";
import { field, writeGguf } from "../gguf/write.js";
import { llavaConfig } from "../llava-config.js";
import { inspectCheckpoint } from "./inspect.js";
import { partOf } from "./parts.js";

const root = mkdtempSync(join(tmpdir(), "asvr-inspect-"));
afterAll(() => rmSync(root, { recursive: true }));
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

test("a LLaVA in shards, of two dtypes", async () => {
  using model = new Llava(llavaConfig(tinyLlava));
  const change = (weights: Map<string, Tensor>) => {
    const newline = weights.get("multi_modal_projector.linear_1.bias")!;
    weights.set("multi_modal_projector.linear_1.bias", newline.to("bfloat16"));
  };
  const folder = writeLlava(root, model, tinyLlava, { shards: 2, change });
  const found = await inspectCheckpoint(folder);
  expect(found).toMatchObject({
    kind: "LLaVA of Hugging Face's (LlavaForConditionalGeneration)",
    facts: {
      "language model": "mistral, 2 layers, width 16, vocabulary 19",
      "vision tower": "clip_vision_model, 3 layers, width 12, 21 pixels in patches of 7",
    },
    format: "safetensors",
    parameters: model.parameterCount(),
    bytes: 4 * model.parameterCount() - 2 * 16,
  });
  expect(found.files.map(({ file }) => file.split("/").at(-1))).toEqual(["model-0.safetensors", "model-1.safetensors"]);
  const counts = Object.fromEntries(found.parts.map(({ part, parameters }) => [part, parameters]));
  expect(counts).toEqual({
    "vision tower": model.visionTower.parameterCount(),
    "language model": model.languageModel.parameterCount(),
    projector: model.multiModalProjector.parameterCount(),
  });
  const projector = found.parts.find(({ part }) => part === "projector");
  expect(projector?.dtypes).toEqual({ float32: counts.projector! - 16, bfloat16: 16 });
});

test("a run with its newest checkpoint, and that checkpoint", async () => {
  const run = join(root, "run");
  mkdirSync(run);
  writeFileSync(join(run, "recipe.json"), JSON.stringify(recipeOf("table1", "asvr", "micro")));
  expect(await inspectCheckpoint(run)).toMatchObject({
    kind: "run of asvr",
    facts: { recipe: "table1/asvr (semantic codes (ASVR)), micro scale, seed 0", checkpoint: "none that is whole" },
    ...{ format: null, tensors: 0 },
  });
  class Model extends nn.Module {
    readonly projector = new nn.Linear(3, 2);
  }
  using model = new Model();
  using optimizer = new optim.AdamW(model.namedParameters());
  const position = { stage: "tuning", stageNumber: 1, step: 7, seconds: 1 };
  await saveCheckpoint(run, position, { modules: { model }, optimizer });
  const found = await inspectCheckpoint(run);
  expect(found.facts.checkpoint).toBe("tuning-step-0000007, the newest that is whole");
  expect(found.parts).toEqual([{ part: "projector", tensors: 2, parameters: 8, bytes: 32, dtypes: { float32: 8 } }]);
  const checkpoint = join(run, "checkpoints", "tuning-step-0000007");
  rmSync(join(checkpoint, "random.safetensors"));
  expect(await inspectCheckpoint(checkpoint)).toMatchObject({
    kind: "checkpoint of asvr",
    facts: { position: "stage tuning, step 7", files: "incomplete: random.safetensors is missing" },
    parameters: 8,
  });
});

test("a GGUF file, whatever its name, and a file of weights alone", async () => {
  const gguf = join(root, "model.bin");
  const other = join(root, "some.safetensors");
  tidy(() => {
    const metadata = new Map([
      ["general.architecture", field.string("llama")],
      ["llama.context_length", field.uint32(64)],
      ["tokenizer.ggml.model", field.string("gpt2")],
      ["tokenizer.ggml.tokens", field.array("string", ["a", "b"])],
    ]);
    const weights = new Map([
      ["token_embd.weight", { tensor: F.ones([2, 4]), type: "F16" as const }],
      ["blk.0.attn_norm.weight", { tensor: F.ones([4]), type: "F32" as const }],
    ]);
    writeGguf(gguf, metadata, weights);
    writeSafetensors(other, new Map([["anything", F.ones([3], "int64")]]));
  });
  expect(await inspectCheckpoint(gguf)).toMatchObject({
    kind: "GGUF file",
    facts: { architecture: "llama", tokenizer: "gpt2, 2 tokens", "context length": "64" },
    parts: [{ part: "language model", tensors: 2, parameters: 12, bytes: 32, dtypes: { F16: 8, F32: 4 } }],
  });
  expect(await inspectCheckpoint(other)).toMatchObject({
    kind: "weights, safetensors: some.safetensors",
    parts: [{ part: "other", parameters: 3, bytes: 24, dtypes: { int64: 3 } }],
  });
});

test("parts of every layout, by the names of their weights", () => {
  const names: Record<string, string> = {
    "model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight": "vision tower",
    "vision_model.post_layernorm.bias": "vision tower",
    "embeddings.patch_embedding.weight": "vision tower",
    "v.blk.0.attn_q.weight": "vision tower",
    "model.mm_projector.0.weight": "projector",
    "mm.2.weight": "projector",
    "model.layers.3.mlp.up_proj.weight": "language model",
    "model.language_model.layers.3.mlp.up_proj.weight": "language model",
    "lm_head.weight": "language model",
    "blk.3.ffn_up.weight": "language model",
    "model.language.model.norm.weight": "language model",
    "model.vision_tokenizer.vision_tower.rqtransformer_semantic.heads.0.weight": "visual head",
    "model.supervision.projector.0.weight": "visual head",
    "model.vision_tokenizer.vision_tower.quantizer.codebook": "visual tokenizer",
    "model.image_newline": "image newline",
    "decoder.conv_in.weight": "other",
  };
  expect(Object.fromEntries(Object.keys(names).map((name) => [name, partOf(name)]))).toEqual(names);
});

test("what is none is refused", async () => {
  const folder = join(root, "nothing");
  mkdirSync(folder);
  await expect(inspectCheckpoint(join(root, "never"))).rejects.toThrow(ConfigError);
  await expect(inspectCheckpoint(folder)).rejects.toThrow(CheckpointError);
  writeFileSync(join(folder, "study.json"), "{}");
  await expect(inspectCheckpoint(folder)).rejects.toThrow(/folder of a study: name one of its rows/);
  writeFileSync(join(root, "cut.gguf"), "GGUF");
  await expect(inspectCheckpoint(join(root, "cut.gguf"))).rejects.toThrow(CheckpointError);
  writeFileSync(join(folder, "config.json"), "[");
  rmSync(join(folder, "study.json"));
  await expect(inspectCheckpoint(folder)).rejects.toThrow(/config\.json: can't be read/);
});
