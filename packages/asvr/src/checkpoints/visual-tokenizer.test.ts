import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
import { afterAll, expect, test } from "vitest";
import { op, pickledTensor, storage, torchFile } from "../../../torch/src/weights/torch-file.fixture.js";
import { ConfigError } from "../errors.js";
import { DualToken, type DualTokenConfig } from "../tokenizers/dualtoken.js";
import { convPixelDecoderConfig } from "../tokenizers/dualtoken-hub.js";
import { SiglipTokenizer, type SiglipTokenizerConfig } from "../tokenizers/siglip-tokenizer.js";
import { loadDualToken, loadVisualTokenizer } from "./visual-tokenizer.js";

setThreads(1); // test files run side by side
manualSeed(11);
const before = memory().tensors;
const root = mkdtempSync(join(tmpdir(), "asvr-tokenizers-"));
afterAll(() => {
  rmSync(root, { recursive: true });
  expect(memory().tensors).toBe(before);
});

const vision = {
  ...{ dim: 32, mlpDim: 40, layers: 4, heads: 2, imageSize: 28, patchSize: 7 },
  activation: "gelu-tanh" as const,
};
const tower = { heads: 2 };
const ddconfig = {
  ...{ ch: 32, out_ch: 3, ch_mult: [1, 1], num_res_blocks: 1, attn_resolutions: [8] },
  ...{ resolution: 16, decoder_in_channels: 32 },
};

/** DualToken of its first release, whose semantic codes are as wide as the tower, or of the next. */
function dualToken(release: "wide" | "projected"): { config: DualTokenConfig; hub: Record<string, unknown> } {
  const dim = release === "wide" ? 32 : 8;
  const quantizer = { dim, codebookSize: 12, depth: 3, shared: true };
  const hubQuantizer = { n_embed: 12, embed_dim: dim, code_shape: [4, 4, 3], shared_codebook: true };
  const [sem, pix] = release === "wide" ? ["vq_semantic", "vq_pixel"] : ["vq_sem", "vq_pix"];
  return {
    config: {
      vision: { ...vision, head: "attention-pooling" },
      semantic: { layer: 3, projected: release === "projected", quantizer },
      appearance: {
        ...{ layer: 2, shortcut: { layer: 1, weight: 0.6 }, quantizer },
        ...{ decoder: convPixelDecoderConfig(ddconfig), latentShape: [8, 8] },
      },
    },
    hub: {
      model_type: "rqvaesigliptransformer_model",
      rqvaesiglip: {
        ...{ layer_sem: 3, layer_recon: 2, layer_shortcut: 1, weight_shortcut: 0.6 },
        ...{ [sem]: hubQuantizer, [pix]: hubQuantizer, ddconfig, decoder_latent_shape: [8, 8] },
      },
    },
  };
}

/** As a training run saves it: in a dict with other things, D copies of a codebook, averages, the text tower. */
function released(model: DualToken, release: "wide" | "projected"): Map<string, Tensor> {
  const weights = new Map<string, Tensor>([["siglip_model.logit_scale", F.ones([1])]]);
  for (const [name, tensor] of model.stateDict()) {
    const old = release === "wide" ? name.replace(/_sem\./, "_semantic.").replace(/_pix\./, "_pixel.") : name;
    const copies = old.includes("codebooks.0") ? [0, 1, 2] : [0];
    for (const copy of copies) weights.set(old.replace("codebooks.0", `codebooks.${copy}`), tensor);
    if (copies.length > 1) weights.set(old.replace("weight", "embed_ema"), tensor.narrow(0, 0, 12));
  }
  return weights;
}

function writeTorch(file: string, weights: ReadonlyMap<string, Tensor>): void {
  const storages: Record<string, Float32Array> = {};
  const state: Record<string, Uint8Array> = {};
  for (const [index, [name, tensor]] of [...weights].entries()) {
    const { shape, elementCount } = tensor;
    storages[index] = Float32Array.from(tensor.toNumbers());
    const strides = shape.map((_, at) => shape.slice(at + 1).reduce((product, size) => product * size, 1));
    state[name] = pickledTensor(storage("FloatStorage", `${index}`, elementCount), shape, strides);
  }
  writeFileSync(file, torchFile(op.dict({ epoch: op.int(6), state_dict: op.dict(state) }), storages));
}

const folderOf = (name: string) => mkdtempSync(join(root, `${name}-`));

test.each(["wide", "projected"] as const)(
  "DualToken's %s release: a file of torch.save, config.json beside it",
  (release) => {
    const { config, hub } = dualToken(release);
    const folder = folderOf(release);
    const file = join(folder, "epoch_6.pt");
    using model = new DualToken(config);
    noGrad(() => tidy(() => writeTorch(file, released(model, release))));
    writeFileSync(join(folder, "config.json"), JSON.stringify(hub));

    using semantic = loadVisualTokenizer(file, { tower });
    using whole = loadDualToken(folder, { tower });
    noGrad(() =>
      tidy(() => {
        const pixelValues = F.randn([2, 3, 28, 28]);
        const want = model.forward(pixelValues);
        expect(semantic.config.vision.layers).toBe(3);
        expect(semantic.encode(pixelValues).equal(want.semantic.codes)).toBe(true);
        expect(semantic.codebookTensor().equal(model.semantic.codebookTensor())).toBe(true);
        expect([semantic.depth, semantic.codebookSize, semantic.codeDim]).toEqual([
          3,
          12,
          config.semantic.quantizer.dim,
        ]);
        expect(semantic.embed(want.semantic.codes).equal(model.semantic.embed(want.semantic.codes))).toBe(true);
        expect(whole.config).toEqual({ ...config, vision: whole.config.vision });
        expect(whole.appearance.encode(pixelValues).equal(want.appearance.codes)).toBe(true);
        const picture = model.reconstruct(want.appearance.codes);
        expect(picture.shape).toEqual([2, 3, 16, 16]);
        expect(whole.reconstruct(want.appearance.codes).equal(picture)).toBe(true);
        using loose = loadDualToken(file, { tower, causal: false });
        expect(loose.reconstruct(want.appearance.codes).equal(picture)).toBe(false);
      }),
    );
    // Without config.json the weights say enough for semantic codes, and too little for the rest.
    const alone = join(folderOf("alone"), "epoch_6.pt");
    noGrad(() => tidy(() => writeTorch(alone, released(model, release))));
    using guessed = loadVisualTokenizer(alone, { tower });
    tidy(() => {
      const pixelValues = F.randn([1, 3, 28, 28]);
      expect(guessed.encode(pixelValues).equal(semantic.encode(pixelValues))).toBe(true);
    });
    expect(() => loadDualToken(alone, { tower })).toThrow(/config\.json: layer_recon is missing/);
  },
);

const vilauConfig: SiglipTokenizerConfig = {
  vision: { ...vision, layers: 3 },
  ...{ layer: -1, projected: false, quantizer: { dim: 32, codebookSize: 12, depth: 3, shared: true } },
};

test.each([true, false])("VILA-U's vision tower folder, its head passed over; one codebook: %s", (shared) => {
  const folder = folderOf("vilau");
  using model = new SiglipTokenizer({ ...vilauConfig, quantizer: { ...vilauConfig.quantizer, shared } });
  noGrad(() =>
    tidy(() => {
      const weights = new Map([...model.stateDict()].map(([name, tensor]) => [`rqvaesiglip.${name}`, tensor.clone()]));
      const last = "rqvaesiglip.siglip_model.vision_model.encoder.layers.3.layer_norm1.weight";
      for (const name of [last, "rqvaesiglip.siglip_model.vision_model.post_layernorm.weight", "rqtransformer.head"]) {
        weights.set(name, F.ones([32]));
      }
      writeSafetensors(join(folder, "model.safetensors"), weights);
    }),
  );
  const hub = {
    n_embed: 12,
    embed_dim: 32,
    code_shape: [4, 4, 3],
    shared_codebook: shared,
    ddconfig: { z_channels: 4 },
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify({ rqvaesiglip: hub }));
  using loaded = loadVisualTokenizer(folder, { tower, dtype: "float32" });
  tidy(() => {
    const pixelValues = F.randn([2, 3, 28, 28]);
    expect(loaded.encode(pixelValues).equal(model.encode(pixelValues))).toBe(true);
    expect(loaded.codebookTensor().size(0)).toBe(shared ? 1 : 3);
  });
  expect(() => loadDualToken(folder, { tower })).toThrow(/model\.safetensors: is no DualToken/);
});

test("errors name the file, and the field or the weights", () => {
  const held = memory().tensors;
  const folder = folderOf("errors");
  const path = join(folder, "model.safetensors");
  using model = new SiglipTokenizer(vilauConfig);
  const own = memory().tensors - held;
  const write = (hub: unknown, change: (weights: Map<string, Tensor>) => void = () => {}) => {
    writeFileSync(join(folder, "config.json"), typeof hub === "string" ? hub : JSON.stringify(hub));
    tidy(() => {
      const weights = new Map(noGrad(() => [...model.stateDict()].map(([name, tensor]) => [name, tensor.clone()])));
      change(weights);
      writeSafetensors(path, weights);
    });
  };
  const load = () => loadVisualTokenizer(folder, { tower });
  const codes = { code_shape: [4, 4, 3], n_embed: 12 };

  write(codes, (weights) => {
    weights.delete("siglip_model.vision_model.encoder.layers.1.layer_norm1.bias");
    weights.set("siglip_model.vision_model.encoder.layers.0.layer_norm2.bias", F.ones([2]));
  });
  expect(load).toThrow(CheckpointError);
  expect(load).toThrow(/model\.safetensors: .*\n.*shape: \S+layers\.0\.layer_norm2\.bias is \(2\)/);
  expect(load).toThrow(/missing: \S+layers\.1\.layer_norm1\.bias \(32\)/);
  write(codes, (weights) => weights.delete("quantizer.codebooks.0.weight"));
  expect(load).toThrow(/model\.safetensors: there are no semantic codes in it/);
  write(codes, (weights) => weights.set("quantizer.codebooks.0.weight", F.ones([4])));
  expect(load).toThrow(/quantizer\.codebooks\.0\.weight is \(4\): expected 2 dimensions/);
  write(codes, (weights) => weights.delete("siglip_model.vision_model.embeddings.patch_embedding.weight"));
  expect(load).toThrow(/there is no tokenizer in it/);

  write({});
  expect(load).toThrow(ConfigError);
  expect(load).toThrow(/quantizer has one codebook, .* by `depth`/);
  loadVisualTokenizer(folder, { tower, depth: 3 }).dispose();
  expect(() => loadVisualTokenizer(folder, { depth: 3 })).toThrow(/a tower 32 wide .* `tower: \{ heads \}`/);
  write({ rqvaesiglip: { ...codes, n_embed: 16 } });
  expect(load).toThrow(/config\.json: n_embed is 16, but quantizer\.codebooks\.0\.weight in .* is \(13, 32\)/);
  write({ ...codes, shared_codebook: false });
  expect(load).toThrow(/quantizer has 1 codebooks for 3 codes/);
  write({ ...codes, layer_sem: 9 });
  expect(load).toThrow(/no hidden state 9/);
  write({ rqvaesiglip: { ...codes, code_shape: [4, 4] } });
  expect(load).toThrow(/config\.json: rqvaesiglip\.code_shape/);
  write('{"rqvaesiglip": {"decay": NaN}}');
  expect(load).toThrow(/config\.json: decay is NaN/);
  write({ ...codes, layer_shortcut: 1 });
  expect(load).toThrow(/weight_shortcut is missing, but layer_shortcut is 1/);
  mkdirSync(join(folder, "empty"));
  expect(() => loadVisualTokenizer(join(folder, "empty"))).toThrow(CheckpointError);
  expect(() => loadVisualTokenizer(path, { config: join(folder, "none.json") })).toThrow(/none\.json: can't be read/);
  expect(memory().tensors).toBe(held + own);
});
