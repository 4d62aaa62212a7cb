import { join } from "node:path";
import { openWeights, tidy } from "@asvr/torch";
import { LlamaForCausalLM } from "../language/llama.js";
import { llamaConfig } from "./llama-config.js";
import { withoutTiedOutput } from "./llava.js";
import { type LoadOptions, loadModule } from "./load-module.js";
import { readWholeConfig } from "./whole-model.js";

/**
 * Loads a folder of Hugging Face's LlamaForCausalLM, MistralForCausalLM or Qwen2ForCausalLM: Vicuna, Mistral, Qwen2.5,
 * SmolLM2 and their like; weights as safetensors or as files of `torch.save`. The caller frees it.
 * @throws ConfigError that names file and field for what this build can't do
 * @throws CheckpointError that lists every weight that is missing, misshapen or not used
 */
export function loadLanguageModel(folder: string, options: LoadOptions = {}): LlamaForCausalLM {
  const file = join(folder, "config.json");
  const config = llamaConfig(readWholeConfig(folder), { file });
  return tidy(() => {
    using opened = openWeights(folder);
    const stored = [...opened.tensors()].filter(([name]) => !name.endsWith(".rotary_emb.inv_freq"));
    const weights = withoutTiedOutput(new Map(stored), { isTied: config.tieWordEmbeddings, folder, prefix: "" });
    return loadModule(() => new LlamaForCausalLM(config), { weights, source: opened.source, options });
  });
}
