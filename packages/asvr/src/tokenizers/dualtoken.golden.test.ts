import { defaultDevice, nn, type Tensor } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { normalise } from "../vision/contrastive.js";
import { SiglipVisionTower } from "../vision/siglip.js";
import { SiglipTextTower } from "../vision/siglip-text.js";
import { DualToken, type DualTokenConfig } from "./dualtoken.js";
import { convPixelDecoderConfig, type HubPixelDecoder } from "./dualtoken-hub.js";
import { dualTokenLosses } from "./dualtoken-loss.js";

interface DualTokenGolden {
  readonly hidden: number;
  readonly embed_dim: number;
  readonly n_embed: number;
  readonly depth: number;
  readonly patch: number;
  readonly side: number;
  readonly layers: number;
  readonly layer_recon: number;
  readonly layer_sem: number;
  readonly layer_shortcut: number | null;
  readonly weight_shortcut: number;
  readonly heads: number;
  readonly intermediate: number;
  readonly decoder: HubPixelDecoder;
  readonly decoder_latent_shape: [number, number] | null;
}

goldenFamily<DualTokenGolden>("e_dualtoken", (golden) => {
  const { forward, gradients } = golden.tolerance;
  const { config } = golden;
  const sizes = { dim: config.hidden, mlpDim: config.intermediate, layers: config.layers, heads: config.heads };
  using tokenizer = nn.creating({ device: defaultDevice() }, () => new DualToken(dualTokenConfig(golden, sizes)));
  const weights = golden.weights();
  for (const name of weights.keys()) if (/_ema$|^siglip_model\.(text_model|logit_)/.test(name)) weights.delete(name);
  tokenizer.load(weights);
  const images = golden.tensor("in/images");

  const output = tokenizer.forward(images);
  const codes = { code_sem: output.semantic.codes, code_pix: output.appearance.codes };
  for (const [name, found] of Object.entries(codes)) {
    expect(found.equal(golden.tensor(`out/${name}`).flatten(1, 2)), name).toBe(true);
  }
  expect(tokenizer.semantic.encode(images).equal(codes.code_sem)).toBe(true);
  expect(tokenizer.appearance.encode(images).equal(codes.code_pix)).toBe(true);
  expectClose(output.semanticState, golden.tensor("out/zq_sem"), forward, "quantized state");
  const states = golden.tensor("out/hidden_states");
  for (const [index, state] of tokenizer.visionModel.hiddenStates(images, config.layer_sem).entries()) {
    expectClose(state, states.select(0, index), forward, `hidden state ${index}`);
  }
  const { pooled } = output.vision;
  expectClose(pooled!, golden.tensor("out/pooler_output"), forward, "pooled");
  expectClose(normalise(pooled!), golden.tensor("out/image_embeds"), forward, "pictures");
  const reconstruction = tokenizer.decode(output.appearance.quantized);
  expectClose(reconstruction, golden.tensor("out/recon"), forward, "reconstruction");
  expectClose(tokenizer.reconstruct(codes.code_pix), golden.tensor("out/recon"), forward, "picture of the codes");

  const teacher = expectTeacher(golden, sizes);
  const { height, width } = { height: reconstruction.size(2), width: reconstruction.size(3) };
  const pictures = images.upsampleBilinear2d([height, width], false);
  const losses = dualTokenLosses(output, { reconstruction, pictures, teacher });
  const named = {
    ...{ semantic: losses.semantic, semantic_cos: losses.semanticCosine, pooler: losses.pooled },
    ...{ pooler_cos: losses.pooledCosine, quant_sem: losses.semanticCommitment },
    ...{ quant_pix: losses.appearanceCommitment, recon: losses.reconstruction, total: losses.total },
  };
  for (const [name, loss] of Object.entries(named)) {
    expectClose(loss, golden.tensor(`out/loss/${name}`), forward, `loss ${name}`);
  }
  losses.total.backward();
  const found = tokenizer.gradients();
  const expected = golden.under("grad/weight/");
  expect(expected.size).toBeGreaterThan(0);
  for (const [name, gradient] of expected) {
    expect(found.get(name), `gradient of ${name}`).toBeTruthy();
    expectClose(found.get(name)!, gradient, gradients, `gradient of ${name}`);
  }
});

type Sizes = { readonly dim: number; readonly mlpDim: number; readonly layers: number; readonly heads: number };

function dualTokenConfig({ config }: Golden<DualTokenGolden, unknown>, sizes: Sizes): DualTokenConfig {
  const { embed_dim: dim, n_embed: codebookSize, depth, patch, side, layer_shortcut: shortcut } = config;
  const quantizer = { dim, codebookSize, depth, shared: true };
  return {
    vision: { ...sizes, imageSize: patch * side, patchSize: patch, head: "attention-pooling" },
    semantic: { layer: config.layer_sem, projected: true, quantizer },
    appearance: {
      layer: config.layer_recon,
      shortcut: shortcut === null ? null : { layer: shortcut, weight: config.weight_shortcut },
      quantizer,
      decoder: convPixelDecoderConfig(config.decoder),
      latentShape: config.decoder_latent_shape,
    },
  };
}

/** The tower without quantizers, and the text tower, of the same checkpoint. */
function expectTeacher(golden: Golden<DualTokenGolden, unknown>, sizes: Sizes) {
  const { forward } = golden.tolerance;
  const device = { device: defaultDevice() };
  const { vision } = dualTokenConfig(golden, sizes);
  using tower = nn.creating(device, () => new SiglipVisionTower(vision).setTrainable(false));
  tower.load(golden.weights("siglip_model.vision_model."));
  const images = golden.tensor("in/images");
  const hiddenState = tower.hiddenState(images, -2);
  const pooled = tower.forward(images).pooled!;
  expectClose(hiddenState, golden.tensor("out/teacher_hidden"), forward, "teacher's hidden state");
  expectClose(pooled, golden.tensor("out/teacher_pooler"), forward, "teacher's pooled output");

  const weights = golden.weights("siglip_model.text_model.");
  const [vocabularySize, dim] = weights.get("embeddings.token_embedding.weight")!.shape as [number, number];
  const rows = (name: string) => (weights.get(name) as Tensor).size(0);
  const layers = new Set([...weights.keys()].map((name) => /^encoder\.layers\.(\d+)/.exec(name)?.[1]).filter(Boolean));
  const maxTokens = rows("embeddings.position_embedding.weight");
  const text = {
    ...{ dim, mlpDim: rows("encoder.layers.0.mlp.fc1.weight"), layers: layers.size, heads: sizes.heads },
    ...{ vocabularySize, maxTokens, readout: "last-position" as const },
  };
  using textTower = nn.creating(device, () => new SiglipTextTower(text));
  textTower.load(weights);
  const texts = normalise(textTower.forward(golden.tensor("in/text")).pooled);
  expectClose(texts, golden.tensor("out/text_embeds"), forward, "texts");
  return { hiddenState, pooled };
}
