import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { tinyLlava } from "./fixture.js";
import { llavaConfig, llavaNextConfig } from "./llava-config.js";

test("what a file leaves out has its default: LLaVA 1.5's tower and a Llama", () => {
  const text = { max_position_embeddings: 4096, rms_norm_eps: 1e-5, vocab_size: 32_064 };
  const config = llavaConfig({ model_type: "llava", text_config: text });
  expect(config).toMatchObject({
    vision: {
      kind: "clip",
      config: { dim: 1024, layers: 24, heads: 16, imageSize: 336, patchSize: 14, activation: "quick-gelu" },
    },
    selection: { layers: [-2], strategy: "default" },
    projector: { activation: "gelu", bias: true },
    language: { vocabSize: 32_064, hiddenSize: 4096, rmsNormEps: 1e-5, tieWordEmbeddings: false },
    imageTokenId: 32_000,
  });
  const siglip = { model_type: "siglip_vision_model", image_size: 384, vision_use_head: false };
  expect(llavaConfig({ ...tinyLlava, vision_config: siglip }).vision).toMatchObject({
    kind: "siglip",
    config: { dim: 768, layers: 12, imageSize: 384, patchSize: 16, head: "none", activation: "gelu-tanh" },
  });
});

test("embeddings are tied if the language model's part or the whole says so", () => {
  const isTied = (config: object) => llavaConfig({ ...tinyLlava, ...config }).language.tieWordEmbeddings;
  expect(isTied({})).toBe(false);
  expect(isTied({ tie_word_embeddings: true })).toBe(true);
  expect(isTied({ text_config: { ...tinyLlava.text_config, tie_word_embeddings: true } })).toBe(true);
});

test("errors name file and field", () => {
  const place = { file: "folder/config.json" };
  const read = (change: object) => () => llavaConfig({ ...tinyLlava, ...change }, place);
  const inVision = (change: object) => read({ vision_config: { ...tinyLlava.vision_config, ...change } });
  expect(read({ model_type: "llava_next" })).toThrow(ConfigError);
  expect(read({ model_type: "idefics" })).toThrow('folder/config.json: model_type is "idefics"; expected "llava"');
  expect(read({ text_config: { model_type: "phi" } })).toThrow(/config\.json: text_config\.model_type is "phi"/);
  expect(inVision({ model_type: "pixtral" })).toThrow(/vision_config\.model_type is "pixtral".*siglip_vision_model/);
  expect(inVision({ num_channels: 1 })).toThrow(/vision_config\.num_channels is 1/);
  expect(inVision({ hidden_act: "relu" })).toThrow(/vision_config\.hidden_act is "relu"/);
  expect(inVision({ model_type: "siglip_vision_model", hidden_act: "quick_gelu" })).toThrow(
    /vision_config\.hidden_act is "quick_gelu": .*"gelu_pytorch_tanh"/,
  );
  expect(read({ vision_feature_layer: [-2, 4] })).toThrow(/vision_feature_layer is 4, but a tower of 3 layers/);
  expect(read({ vision_feature_select_strategy: "cls" })).toThrow(/vision_feature_select_strategy is "cls"/);
  expect(read({ projector_hidden_act: "silu" })).toThrow(/projector_hidden_act is "silu"/);
  expect(read({ image_token_id: 3 })).toThrow(/image_token_index is 20, but image_token_id is 3/);
});

test("LLaVA-NeXT's pinpoints are pairs of height and width, of whole tiles", () => {
  expect(llavaNextConfig({ model_type: "llava_next" }).pinpoints[0]).toEqual({ height: 336, width: 672 });
  const read = (change: object) => () => llavaNextConfig({ ...tinyLlava, model_type: "llava_next", ...change });
  expect(
    read({
      image_grid_pinpoints: [
        [21, 42],
        [40, 21],
      ],
    }),
  ).toThrow(/has \[40, 21\].* whole tiles of 21 pixels/);
  expect(read({ image_grid_pinpoints: [[21]] })).toThrow(/image_grid_pinpoints\.0.* is \[21\]/);
  expect(read({ model_type: "llava" })).toThrow(/model_type is "llava"; expected "llava_next"/);
});
