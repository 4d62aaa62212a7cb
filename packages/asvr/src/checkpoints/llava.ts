import { join } from "node:path";
import { CheckpointError, type DType, nn, openWeights, type Tensor, tidy } from "@asvr/torch";
import { Llava, type LlavaConfig } from "../model/llava.js";
import { LlavaNext } from "../model/llava-next.js";
import { type ConfigPlace, readConfig } from "./config-place.js";
import { llavaConfig, llavaNextConfig } from "./llava-config.js";
import { llavaWeights, outputMatrix } from "./llava-names.js";

export interface LoadOptions {
  /** Default: ASVR_DEVICE, or the CPU. */
  readonly device?: string;
  /** What weights are converted to; "stored" keeps the file's. Default float32. */
  readonly dtype?: DType | "stored";
  /** Weights that fit as they are stay in the mapped file, without a copy: for a model that is not trained. */
  readonly adopt?: boolean;
}

/** The dtype that a loaded model is created with: as asked, or that of most of the stored elements. */
export function chosenDtype({ dtype = "float32" }: LoadOptions, weights: Iterable<Tensor>): DType {
  if (dtype !== "stored") return dtype;
  const elements = new Map<DType, number>();
  for (const { dtype: stored, elementCount } of weights) {
    elements.set(stored, (elements.get(stored) ?? 0) + elementCount);
  }
  return [...elements].reduce((most, entry) => (entry[1] > most[1] ? entry : most), ["float32", 0] as [
    DType,
    number,
  ])[0];
}

/**
 * Loads a folder of Hugging Face's LlavaForConditionalGeneration: `config.json` and weights as safetensors or as files of
 * `torch.save`, in one file or in shards with an index. Language models: Llama (Vicuna), Mistral, Qwen2; towers: CLIP, SigLIP. The caller frees it.
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
  const config = read(readConfig(file), { file });
  return tidy(() => {
    using opened = openWeights(folder);
    const names = { output: outputMatrix, embedding: "language_model.model.embed_tokens.weight" };
    const isTied = config.language.tieWordEmbeddings;
    const weights = withoutTiedOutput(llavaWeights(opened.tensors()), names, { isTied, folder });
    const model = nn.creating(
      { device: options.device, dtype: chosenDtype(options, weights.values()), initialise: false },
      () => build(config),
    );
    try {
      return model.load(weights, { adopt: options.adopt ?? false });
    } catch (error) {
      model.dispose();
      throw error;
    }
  });
}

/**
 * The weights without an output matrix that the configuration ties to the embeddings: a file may hold it again, as the
 * same numbers.
 * @throws CheckpointError for another matrix, which would be lost in silence
 */
export function withoutTiedOutput(
  weights: Map<string, Tensor>,
  names: { readonly output: string; readonly embedding: string },
  { isTied, folder }: { readonly isTied: boolean; readonly folder: string },
): Map<string, Tensor> {
  const [output, embedding] = [weights.get(names.output), weights.get(names.embedding)];
  if (!isTied || !output || !embedding) return weights;
  if (output.shape.join() !== embedding.shape.join() || !output.equal(embedding)) {
    throw new CheckpointError(
      `${folder}: config.json ties the output matrix to the embeddings, but the files hold another one (${names.output})`,
    );
  }
  return new Map([...weights].filter(([name]) => name !== names.output));
}
