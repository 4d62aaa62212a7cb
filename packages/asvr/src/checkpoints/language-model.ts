import { join } from "node:path";
import { nn, openWeights, tidy } from "@asvr/torch";
import { LlamaForCausalLM } from "../language/llama.js";
import { readConfig } from "./config-place.js";
import { llamaConfig } from "./llama-config.js";
import { chosenDtype, type LoadOptions, withoutTiedOutput } from "./llava.js";

/**
 * Loads a folder of Hugging Face's LlamaForCausalLM, MistralForCausalLM or Qwen2ForCausalLM: Vicuna, Mistral, Qwen2.5,
 * SmolLM2 and their like; weights as safetensors or as files of `torch.save`. The caller frees it.
 * @throws ConfigError that names file and field for what this build can't do
 * @throws CheckpointError that lists every weight that is missing, misshapen or not used
 */
export function loadLanguageModel(folder: string, options: LoadOptions = {}): LlamaForCausalLM {
  const file = join(folder, "config.json");
  const config = llamaConfig(readConfig(file), { file });
  return tidy(() => {
    using opened = openWeights(folder);
    const stored = [...opened.tensors()].filter(([name]) => !name.endsWith(".rotary_emb.inv_freq"));
    const names = { output: "lm_head.weight", embedding: "model.embed_tokens.weight" };
    const weights = withoutTiedOutput(new Map(stored), names, { isTied: config.tieWordEmbeddings, folder });
    const creation = { device: options.device, dtype: chosenDtype(options, weights.values()), initialise: false };
    const model = nn.creating(creation, () => new LlamaForCausalLM(config));
    try {
      return model.load(weights, { adopt: options.adopt ?? false });
    } catch (error) {
      model.dispose();
      throw error;
    }
  });
}
