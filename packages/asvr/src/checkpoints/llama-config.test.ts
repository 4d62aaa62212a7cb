import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { llamaConfig } from "./llama-config.js";

const small = { hidden_size: 32, num_attention_heads: 4, num_hidden_layers: 4 };

test("what a file leaves out has the default of its model type", () => {
  expect(llamaConfig({ model_type: "llama", vocab_size: 32_064, rms_norm_eps: 1e-5 })).toEqual({
    ...{ vocabSize: 32_064, hiddenSize: 4096, intermediateSize: 11_008, numHiddenLayers: 32 },
    ...{ numAttentionHeads: 32, numKeyValueHeads: 32, ropeTheta: 10_000, rmsNormEps: 1e-5 },
    ...{ tieWordEmbeddings: false, attentionBias: false, maxPositionEmbeddings: 2048 },
  });
  expect(llamaConfig({ model_type: "mistral", sliding_window: null })).toMatchObject({
    ...{ numKeyValueHeads: 8, intermediateSize: 14_336, attentionBias: false },
  });
  expect(llamaConfig({ model_type: "qwen2", tie_word_embeddings: true, head_dim: 64 })).toMatchObject({
    ...{ vocabSize: 151_936, tieWordEmbeddings: true, attentionBias: true, headDim: 64 },
  });
});

test("sliding windows: Mistral's in every layer, Qwen2's from a layer on, or as the file names them", () => {
  const windows = (config: Record<string, unknown>) => llamaConfig({ ...small, ...config }).slidingWindows;
  expect(windows({ model_type: "mistral" })).toEqual([4096, 4096, 4096, 4096]);
  expect(windows({ model_type: "mistral", sliding_window: null })).toBeUndefined();
  expect(windows({ model_type: "llama", sliding_window: 7 })).toBeUndefined();
  const qwen2 = { model_type: "qwen2", sliding_window: 9, max_window_layers: 3 };
  expect(windows(qwen2)).toBeUndefined();
  expect(windows({ ...qwen2, use_sliding_window: true })).toEqual([null, null, null, 9]);
  const layerTypes = ["full_attention", "sliding_attention", "full_attention", "full_attention"];
  expect(windows({ ...qwen2, use_sliding_window: true, layer_types: layerTypes })).toEqual([null, 9, null, null]);
  expect(() => windows({ ...qwen2, layer_types: layerTypes })).toThrow(/layer_types.*use_sliding_window false/);
  expect(() => windows({ ...qwen2, layer_types: ["full_attention"] })).toThrow(/1 entries for 4 layers/);
});

test("rotary scaling, in either spelling", () => {
  const rope = (config: Record<string, unknown>) => {
    const { ropeTheta, ropeScaling } = llamaConfig({ model_type: "llama", max_position_embeddings: 512, ...config });
    return [ropeTheta, ropeScaling];
  };
  expect(rope({ rope_theta: 5e5, rope_scaling: null })).toEqual([5e5, undefined]);
  expect(rope({ rope_parameters: { rope_type: "default", rope_theta: 1e6 } })).toEqual([1e6, undefined]);
  expect(rope({ rope_theta: 7, rope_scaling: { type: "linear", factor: 2 } })).toEqual([
    7,
    { kind: "linear", factor: 2 },
  ]);
  expect(rope({ rope_parameters: { rope_type: "dynamic", factor: 2, rope_theta: 9 } })).toEqual([
    9,
    { kind: "dynamic", factor: 2, originalLength: 512 },
  ]);
  const llama3 = {
    ...{ rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
    original_max_position_embeddings: 64,
  };
  expect(rope({ rope_scaling: llama3 })).toEqual([
    10_000,
    { kind: "llama3", factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 64 },
  ]);
  expect(() => rope({ rope_scaling: { ...llama3, low_freq_factor: 4 } })).toThrow(/low_freq_factor 4 must be less/);
  expect(() => rope({ rope_scaling: { rope_type: "llama3", factor: 8 } })).toThrow(/lacks low_freq_factor/);
  expect(() => rope({ rope_scaling: { type: "yarn", factor: 4 } })).toThrow(/"yarn".*llama3/);
  const both = { rope_scaling: llama3, rope_parameters: { ...llama3, rope_theta: 1e6 } };
  expect(rope(both)).toEqual(rope({ rope_parameters: both.rope_parameters }));
  expect(rope({ ...both, rope_theta: 1e6 })).toEqual(rope(both));
  expect(() => rope({ ...both, rope_theta: 5e5 })).toThrow(/rope_parameters.*1000000.*differs from.*500000/);
  expect(() => rope({ ...both, rope_scaling: { ...llama3, factor: 4 } })).toThrow(/differs from rope_scaling/);
});

test("errors name file and field, and the value", () => {
  const place = { file: "folder/config.json", field: "text_config" };
  const read = (config: Record<string, unknown>) => () => llamaConfig({ model_type: "llama", ...config }, place);
  expect(read({ model_type: "gemma" })).toThrow(ConfigError);
  expect(read({ model_type: "gemma" })).toThrow(
    'folder/config.json: text_config.model_type is "gemma"; this build reads llama, mistral, qwen2',
  );
  expect(read({ hidden_size: -1 })).toThrow(/text_config\.hidden_size is -1: /);
  expect(read({ hidden_act: "gelu" })).toThrow(/text_config\.hidden_act is "gelu": .*"silu"/);
  expect(read({ attention_bias: true })).toThrow(/text_config\.attention_bias is true/);
  expect(read({ rope_scaling: { factor: "2" } })).toThrow(/text_config\.rope_scaling\.factor is "2"/);
  expect(() => llamaConfig({})).toThrow("config.json: model_type is missing");
});
