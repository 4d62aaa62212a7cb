import { join } from "node:path";
import { CheckpointError, type nn, openWeights, type Tensor, tidy } from "@asvr/torch";
import { Llava, type LlavaConfig } from "../model/llava.js";
import { LlavaNext } from "../model/llava-next.js";
import type { ConfigPlace } from "./config-place.js";
import { llavaConfig, llavaNextConfig } from "./llava-config.js";
import { llavaWeights } from "./llava-names.js";
import { type LoadOptions, loadModule } from "./load-module.js";
import { readWholeConfig } from "./whole-model.js";

/**
 * Loads a folder of Hugging Face's LlavaForConditionalGeneration: `config.json` and weights as safetensors or as files of
 * `torch.save`, in one file or in shards with an index. Language models: Llama (Vicuna), Mistral, Qwen2;
 * towers: those of `visionConfig`. The caller frees it.
 * @throws ConfigError that names file and field for what this build can't do
 * @throws CheckpointError that lists every weight that is missing, misshapen or not used
 */
export function loadLlava(folder: string, options: LoadOptions = {}): Llava {
  return load(folder, llavaConfig, (config) => new Llava(config), options);
}

/** `loadLlava` for LlavaNextForConditionalGeneration. */
export function loadLlavaNext(folder: string, options: LoadOptions = {}): LlavaNext {
  return load(folder, llavaNextConfig, (config) => new LlavaNext(config), options);
}

function load<Config extends LlavaConfig, Model extends nn.Module>(
  folder: string,
  read: (json: Record<string, unknown>, place: ConfigPlace) => Config,
  build: (config: Config) => Model,
  options: LoadOptions,
): Model {
  const file = join(folder, "config.json");
  const config = read(readWholeConfig(folder), { file });
  return tidy(() => {
    using opened = openWeights(folder);
    const isTied = config.language.tieWordEmbeddings;
    const weights = withoutTiedOutput(llavaWeights(opened.tensors()), { isTied, folder });
    return loadModule(() => build(config), { weights, source: opened.source, options });
  });
}

/**
 * The weights without an output matrix that the configuration ties to the embeddings: a file may hold it again, as the
 * same numbers.
 * @param prefix what the names of the language model's weights begin with
 * @throws CheckpointError for another matrix, which would be lost in silence
 */
export function withoutTiedOutput(
  weights: Map<string, Tensor>,
  { isTied, folder, prefix = "language_model." }: { isTied: boolean; folder: string; prefix?: string },
): Map<string, Tensor> {
  const outputName = `${prefix}lm_head.weight`;
  const [output, embedding] = [weights.get(outputName), weights.get(`${prefix}model.embed_tokens.weight`)];
  if (!isTied || !output || !embedding) return weights;
  if (output.shape.join() !== embedding.shape.join() || !output.equal(embedding)) {
    throw new CheckpointError(
      `${folder}: config.json ties the output matrix to the embeddings, but the files hold another one (${outputName})`,
    );
  }
  return new Map([...weights].filter(([name]) => name !== outputName));
}
