import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { F, manualSeed, memory, noGrad, setThreads, type Tensor, tensor, tidy, writeSafetensors } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import { afterAll, expect, test } from "vitest";
import { Llava } from "../model/llava.js";
import { LlavaNext } from "../model/llava-next.js";
import { tinyLlava } from "./fixture.js";
import { llavaConfig, llavaNextConfig } from "./llava-config.js";
import { loadOriginalLlava, originalName } from "./original-llava.js";

setThreads(1); // test files run side by side
manualSeed(7);
const before = memory().tensors;
const root = mkdtempSync(join(tmpdir(), "asvr-original-"));
const llava = new Llava(llavaConfig({ ...tinyLlava, image_token_index: 18 }));
afterAll(() => {
  llava.dispose();
  rmSync(root, { recursive: true });
  expect(memory().tensors).toBe(before);
});

const exact = { rtol: 0, atol: 0 };
const { model_type: _, ...text } = tinyLlava.text_config;
const original = {
  ...{ ...text, model_type: "llava_mistral", mm_projector_type: "mlp2x_gelu", mm_vision_tower: "tower" },
  ...{ mm_vision_select_layer: -2, mm_vision_select_feature: "patch", image_aspect_ratio: "pad" },
};

/** The names of LLaVA's own code. */
function originalNames(name: string): string {
  return name
    .replace(/^vision_tower\./, "model.vision_tower.vision_tower.vision_model.")
    .replace(/^multi_modal_projector\./, "model.mm_projector.")
    .replace(/^image_newline$/, "model.image_newline")
    .replace(/^language_model\./, "");
}

interface Written {
  config?: Record<string, unknown>;
  model?: Llava | LlavaNext;
  keep?: (name: string) => boolean;
  file?: string;
}

function write({ config = original, model = llava, keep = () => true, file = "model.safetensors" }: Written = {}) {
  const folder = mkdtempSync(join(root, "folder-"));
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeTower(join(folder, "tower"), model);
  noGrad(() =>
    tidy(() => {
      const weights = [...model.stateDict()].map(([name, value]) => [originalNames(name), value] as const);
      writeSafetensors(join(folder, file), new Map(weights.filter(([name]) => keep(name))));
    }),
  );
  return folder;
}

function writeTower(folder: string, model: Llava | LlavaNext, prefix = "vision_model."): void {
  mkdirSync(folder);
  writeFileSync(join(folder, "config.json"), JSON.stringify(tinyLlava.vision_config));
  const third = [0.3, 0.3, 0.3];
  const processor = { image_mean: third, image_std: third, size: { shortest_edge: 21 }, crop_size: 21 };
  writeFileSync(join(folder, "preprocessor_config.json"), JSON.stringify(processor));
  noGrad(() =>
    tidy(() => {
      const state = [...model.stateDict()].filter(([name]) => name.startsWith("vision_tower."));
      const weights = state.map(([name, value]) => [name.replace("vision_tower.", prefix), value] as const);
      writeSafetensors(join(folder, "model.safetensors"), new Map(weights));
    }),
  );
}

test("a tower that transformers 5 saved, whose names have no beginning, is read beside it", () => {
  const folder = write({ keep: (name) => !name.includes("vision_tower") });
  rmSync(join(folder, "tower"), { recursive: true });
  writeTower(join(folder, "tower"), llava, "");
  using loaded = loadOriginalLlava(folder).llava as Llava;
  tidy(() => expectClose(logitsOf(loaded, -200), logitsOf(llava, llava.config.imageTokenId), exact));
});

test("an output matrix that is tied to the embeddings may be stored too, as the same numbers", () => {
  const folder = write({ config: { ...original, tie_word_embeddings: true } as typeof original });
  const store = (same: boolean) =>
    noGrad(() =>
      tidy(() => {
        const weights = new Map([...llava.stateDict()].map(([name, value]) => [originalNames(name), value]));
        const embeddings = weights.get("model.embed_tokens.weight")!;
        weights.set("lm_head.weight", same ? embeddings.clone() : embeddings.add(1));
        writeSafetensors(join(folder, "model.safetensors"), weights);
      }),
    );
  store(true);
  using loaded = loadOriginalLlava(folder).llava;
  expect(loaded.config.language.tieWordEmbeddings).toBe(true);
  store(false);
  expect(() => loadOriginalLlava(folder)).toThrow(/ties the output matrix.*hold another one/);
});

function logitsOf(model: Llava, imageToken: number): Tensor {
  return noGrad(() =>
    tidy(() => {
      const pixelValues = F.arange(0, 3 * 21 * 21, 1, "float32")
        .sin()
        .view([1, 3, 21, 21]);
      const ids = [1, ...Array<number>(9).fill(imageToken), 7, 4];
      return model.logits(model.forward(tensor([ids]).to("int64"), pixelValues));
    }),
  );
}

function expectSame(folder: string, options = {}): void {
  const loaded = loadOriginalLlava(folder, options);
  using found = loaded.llava as Llava;
  tidy(() => expectClose(logitsOf(found, -200), logitsOf(llava, 18), exact));
  expect(loaded.languageKind).toBe("mistral");
  expect(loaded.preprocessing).toMatchObject({ mode: "pad", size: 21, mean: [0.3, 0.3, 0.3] });
}

test("a folder with its tower, and one that only names it", () => {
  expectSame(write());
  expectSame(write({ keep: (name) => !name.includes("vision_tower") }));
});

test("a tower that was cut after the layer that is read: its index is that of the whole", () => {
  expectSame(write({ keep: (name) => !name.includes("vision_model.encoder.layers.2.") }));
});

test("the visual head and the tokenizer of an ASVR are passed over", () => {
  expect(originalName("projector.0.weight")).toBeNull();
  expect(originalName("model.vision_tokenizer.vision_tower.rqtransformer_semantic.in_mlp_1.bias")).toBeNull();
  expect(originalName("model.mm_projector.2.bias")).toBe("multi_modal_projector.2.bias");
  expect(originalName("model.layers.0.mlp.up_proj.weight")).toBe("language_model.model.layers.0.mlp.up_proj.weight");
});

test("a folder of the first stage is laid over the language model that is named", () => {
  const base = write({ keep: (name) => !name.includes("vision_tower") && !name.includes("mm_projector") });
  const stage = write({ keep: (name) => name.includes("mm_projector"), file: "mm_projector.safetensors" });
  expect(() => loadOriginalLlava(stage)).toThrow(/mm_projector\.safetensors.*no language model.*as base/);
  expectSame(stage, { base });
  expectSame(stage, { base, visionTower: join(base, "tower") });
});

test("anyres: a LLaVA-NeXT, its pinpoints as (width, height)", () => {
  const hub = { ...tinyLlava, model_type: "llava_next", image_token_index: 18, image_grid_pinpoints: [[42, 21]] };
  using next = new LlavaNext(llavaNextConfig(hub));
  const anyres = {
    ...{ ...original, image_aspect_ratio: "anyres", image_grid_pinpoints: [[21, 42]] },
    mm_patch_merge_type: "spatial_unpad",
  };
  const loaded = loadOriginalLlava(write({ config: anyres, model: next }));
  using found = loaded.llava as LlavaNext;
  expect(found).toBeInstanceOf(LlavaNext);
  expect(found.config.pinpoints).toEqual([{ height: 42, width: 21 }]);
  const flat = write({ config: { ...anyres, mm_patch_merge_type: "flat" }, model: next });
  expect(() => loadOriginalLlava(flat)).toThrow(/mm_patch_merge_type is "flat".*spatial_unpad/);
});

test("errors say what is wrong and where", () => {
  const load = (change: Record<string, unknown>) => () =>
    loadOriginalLlava(write({ config: { ...original, ...change } }));
  expect(load({ mm_projector_type: "linear" })).toThrow(/config\.json: mm_projector_type is "linear"/);
  expect(load({ mm_vision_tower: "no/such-tower" })).toThrow(
    /mm_vision_tower is "no\/such-tower".*Name the tower.s folder/,
  );
  expect(load({ mm_vision_select_layer: -9 })).toThrow(/mm_vision_select_layer is -9.*3 layers/);
  expect(load({ model_type: "llava_mpt" })).toThrow(/model_type is "llava_mpt".*Llama, Mistral and Qwen2/);
  expect(load({ mm_use_im_start_end: true })).toThrow(/mm_use_im_start_end/);
  expect(() => loadOriginalLlava(write({ keep: (name) => !name.includes("mm_projector.2") }))).toThrow(
    /missing: multi_modal_projector\.2\.weight/,
  );
});
