// What is opened by mistake in the place of a model, and configurations that claim more than their weights hold.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CheckpointError, F, memory, type Tensor, tidy } from "@asvr/torch";
import { afterAll, afterEach, expect, test } from "vitest";
import { openChatModel } from "../chat/open.js";
import { ConfigError } from "../errors.js";
import { readChatTemplate } from "../language/chat-template-files.js";
import { Llava } from "../model/llava.js";
import { tinyLlava, writeLlava } from "./fixture.js";
import { field, writeGguf } from "./gguf/write.js";
import { inspectCheckpoint } from "./inspect/inspect.js";
import { loadLlava } from "./llava.js";
import { llavaConfig } from "./llava-config.js";

const root = mkdtempSync(join(tmpdir(), "asvr-whole-"));
afterAll(() => rmSync(root, { recursive: true }));
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

function whole(config: object = {}): string {
  using model = new Llava(llavaConfig(tinyLlava));
  return writeLlava(root, model, { ...tinyLlava, ...config });
}

const adapter = JSON.stringify({ peft_type: "LORA", base_model_name_or_path: "someone/base" });

test("a LoRA adapter, alone and beside a whole model, is called one", async () => {
  const alone = mkdtempSync(join(root, "peft-"));
  writeFileSync(join(alone, "adapter_config.json"), adapter);
  await expect(openChatModel(alone)).rejects.toThrow(
    /a LoRA adapter of someone\/base .*no whole model.*merge_and_unload/,
  );
  writeFileSync(join(alone, "config.json"), JSON.stringify(tinyLlava));
  await expect(openChatModel(alone)).rejects.toThrow(/no whole model/);

  const beside = whole();
  writeFileSync(join(beside, "adapter_config.json"), adapter);
  await expect(openChatModel(beside)).rejects.toThrow(/beside a whole model, and adapters are not applied/);
  expect(() => loadLlava(beside)).toThrow(ConfigError);
  expect((await inspectCheckpoint(beside)).facts.adapter).toMatch(/it is not applied/);
});

test.each([
  [{ quant_method: "fp8" }, "fp8"],
  [{ load_in_4bit: true, quant_method: "bitsandbytes" }, "bitsandbytes, 4 bits"],
  [{ quant_method: "gptq", bits: 4 }, "gptq, 4 bits"],
])("quantised weights are named: %o", async (quantization_config, method) => {
  const folder = whole({ quantization_config });
  const said = `config.json: quantization_config says that the weights are quantised (${method})`;
  await expect(openChatModel(folder)).rejects.toThrow(said);
  expect(() => loadLlava(folder)).toThrow(said);
  expect((await inspectCheckpoint(folder)).facts.quantised).toContain(method);
});

test.each([
  [new Map([["general.type", field.string("mmproj")]]), /vision part of a model \(an mmproj file\)/],
  [new Map([["general.architecture", field.string("clip")]]), /vision part of a model/],
  [new Map([["general.type", field.string("adapter")]]), /a LoRA adapter, no whole model/],
  [
    new Map([
      ["split.count", field.uint32(3)],
      ["split.no", field.uint32(1)],
    ]),
    /file 2 of 3 of one model: join them/,
  ],
])("a GGUF file that is no whole model %#", async (metadata, message) => {
  const file = join(root, "part.gguf");
  tidy(() => writeGguf(file, metadata, new Map([["any", { tensor: F.ones([4]), type: "F32" as const }]])));
  await expect(openChatModel(file)).rejects.toThrow(message);
});

test.each([
  ["mrope", /text_config\.rope_scaling is of the type "mrope", .*Qwen2-VL.*this build has default, linear/],
  ["longrope", /is of the type "longrope"; this build has default, linear/],
])("the scaling %s is named before what it lacks", (type, message) => {
  const text_config = { ...tinyLlava.text_config, rope_scaling: { type } };
  expect(() => llavaConfig({ ...tinyLlava, text_config })).toThrow(message);
});

test("a tower of another machine is said with its file and field", async () => {
  const folder = mkdtempSync(join(root, "original-"));
  cpSync(join(whole(), "model.safetensors"), join(folder, "model.safetensors"));
  const name = "/home/someone/clip-vit-large-patch14-336";
  const config = { model_type: "llava_llama", mm_vision_tower: name, mm_projector_type: "mlp2x_gelu" };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  await expect(openChatModel(folder)).rejects.toThrow(
    /config\.json: mm_vision_tower is "\/home\/someone\/.*--vision-tower FOLDER\), or write "openai\/clip-vit-large-patch14-336"/,
  );
});

const text = tinyLlava.text_config;
const vision = tinyLlava.vision_config;
test.each([
  ["layers", { text_config: { ...text, num_hidden_layers: 9_999 } }],
  ["more layers than are listed", { text_config: { ...text, num_hidden_layers: 100_000 } }],
  ["more than can be counted", { text_config: { ...text, vocab_size: 2 ** 52 } }],
  ["the width", { text_config: { ...text, hidden_size: 2 ** 30 } }],
  ["the inner width", { text_config: { ...text, intermediate_size: 2 ** 30 } }],
  ["the vocabulary", { text_config: { ...text, vocab_size: 2 ** 30 } }],
  ["heads", { text_config: { ...text, num_attention_heads: 2 ** 24, head_dim: 2 ** 10 } }],
  ["layers of the tower", { vision_config: { ...vision, num_hidden_layers: 9_999 } }],
  ["the width of the tower", { vision_config: { ...vision, hidden_size: 3 * 2 ** 28 } }],
  ["the side of its pictures", { vision_config: { ...vision, image_size: 7 * 2 ** 26 } }],
])("claims of a configuration are held against the weights first: %s", (_, claim) => {
  const folder = whole(claim);
  const resident = process.memoryUsage().rss;
  const started = performance.now();
  expect(() => loadLlava(folder)).toThrow(/holds \d+ weights of \d+ numbers|Too big/);
  expect(performance.now() - started).toBeLessThan(20_000);
  expect(process.memoryUsage().rss - resident).toBeLessThan(200 * 2 ** 20);
});

test("a weight that is missing is still named", () => {
  using model = new Llava(llavaConfig(tinyLlava));
  const change = (weights: Map<string, Tensor>) => void weights.delete("multi_modal_projector.linear_1.bias");
  const folder = writeLlava(root, model, tinyLlava, { change });
  expect(() => loadLlava(folder)).toThrow(/missing: multi_modal_projector\.0\.bias/);
});

test("a pipe, a folder and a pointer of git-lfs in the place of a file are said, at once", async () => {
  for (const name of ["config.json", "tokenizer.json", "model.gguf"]) {
    const folder = whole();
    writeFileSync(join(folder, "tokenizer_config.json"), "{}");
    rmSync(join(folder, name), { force: true });
    execFileSync("mkfifo", [join(folder, name)]);
    const opened = openChatModel(name === "model.gguf" ? join(folder, name) : folder);
    await expect(opened).rejects.toThrow(/it is a named pipe, not a file/);
  }
  const templates = mkdtempSync(join(root, "templates-"));
  execFileSync("mkfifo", [join(templates, "chat_template.jinja")]);
  expect(() => readChatTemplate(templates, {})).toThrow(/chat_template\.jinja can't be read: it is a named pipe/);
  const folder = whole();
  const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
  for (const name of ["model.gguf", "model.safetensors"]) {
    writeFileSync(join(folder, name), pointer);
    await expect(inspectCheckpoint(join(folder, name))).rejects.toThrow(/git lfs pull/);
  }
  writeFileSync(join(folder, "tokenizer.json"), pointer);
  writeFileSync(join(folder, "tokenizer_config.json"), "{}");
  await expect(openChatModel(folder)).rejects.toThrow(/tokenizer\.json cannot be used: it is a pointer of git-lfs/);
  rmSync(join(folder, "config.json"));
  mkdirSync(join(folder, "config.json"));
  await expect(inspectCheckpoint(folder)).rejects.toThrow(/config\.json: can't be read: it is a folder/);
});

test("one shard of several without their index is not taken for the whole", () => {
  const folder = whole();
  writeFileSync(join(folder, "model-00001-of-00003.safetensors"), readFileSync(join(folder, "model.safetensors")));
  rmSync(join(folder, "model.safetensors"));
  expect(() => loadLlava(folder)).toThrow(CheckpointError);
  expect(() => loadLlava(folder)).toThrow(/model-00001-of-00003\.safetensors is shard 1 of 3, and the others/);
});
