// Files and folders that people open in the place of a model: each is told apart, with what to do about it.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../errors.js";
import { type ConfigPlace, fieldAt, readConfig } from "./config-place.js";

/** Where PEFT says what an adapter was made for. */
export const ADAPTER_CONFIG = "adapter_config.json";

/**
 * Refuses a folder with a LoRA adapter, alone or beside a whole model: an answer without it would be another model's.
 * @throws ConfigError that names the model that it was made for
 */
export function requireNoAdapter(folder: string): void {
  const file = join(folder, ADAPTER_CONFIG);
  if (!existsSync(file)) return;
  const base = adapterBase(folder);
  const isBeside = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"].some((name) =>
    existsSync(join(folder, name)),
  );
  throw new ConfigError(
    isBeside
      ? `${folder} holds a LoRA adapter (${ADAPTER_CONFIG}) beside a whole model, and adapters are not applied here. ` +
          `Merge the two in Python (peft: merge_and_unload, then save_pretrained), or, to use the model alone, take ${ADAPTER_CONFIG} away.`
      : `${folder} holds a LoRA adapter${base ? ` of ${base}` : ""} (${ADAPTER_CONFIG}), no whole model. ` +
          "Merge it into its base model in Python (peft: merge_and_unload, then save_pretrained), and give that folder.",
  );
}

/**
 * The config.json of a folder that is to hold a whole model with plain weights.
 * @throws ConfigError for an adapter, quantised weights, and a file that can't be read
 */
export function readWholeConfig(folder: string): Record<string, unknown> {
  requireNoAdapter(folder);
  const file = join(folder, "config.json");
  const config = readConfig(file);
  requirePlainWeights(config, { file });
  return config;
}

/** The model that a folder's adapter was made for, where its configuration names one. */
export function adapterBase(folder: string): string | undefined {
  const { base_model_name_or_path: base } = readConfig(join(folder, ADAPTER_CONFIG));
  return typeof base === "string" && base !== "" ? base : undefined;
}

/**
 * Refuses weights that were quantised in a form of their own (bitsandbytes, fp8, GPTQ, AWQ): their file holds packed
 * numbers in the places of matrices.
 * @throws ConfigError that names file, field and the method
 */
export function requirePlainWeights(config: Readonly<Record<string, unknown>>, place: ConfigPlace): void {
  const method = quantisation(config);
  if (method === undefined) return;
  throw new ConfigError(
    `${fieldAt(place, "quantization_config")} says that the weights are quantised (${method}), which can't be read here. ` +
      "Give the model in bfloat16 or float16 that it was made from, the same dequantised in Python " +
      "(transformers: dequantize, then save_pretrained), or a GGUF file.",
  );
}

/** How a configuration says that its weights are quantised; of a LLaVA its language model's too. */
export function quantisation(config: Readonly<Record<string, unknown>>): string | undefined {
  const inner = [config, config.text_config].map(
    (part) => (part as Record<string, unknown> | null | undefined)?.quantization_config,
  );
  const found = inner.find((value) => typeof value === "object" && value !== null) as
    | Record<string, unknown>
    | undefined;
  if (!found) return undefined;
  const method = String(found.quant_method ?? (found.load_in_4bit || found.load_in_8bit ? "bitsandbytes" : "unnamed"));
  const bits = found.load_in_4bit ? 4 : found.load_in_8bit ? 8 : found.bits;
  return typeof bits === "number" ? `${method}, ${bits} bits` : method;
}

/** What `general.type` of a GGUF file says that is no model. */
const partialTypes: Readonly<Record<string, string>> = {
  adapter: "a LoRA adapter, no whole model: merge it into its base model (llama.cpp: llama-export-lora)",
  vocab: "a vocabulary without weights: give the file of the whole model",
  imatrix: "a table of importances for quantising, no model: give the file of the model",
};

/**
 * Refuses a GGUF file that is no whole language model.
 * @throws ConfigError that says what it is and what to do
 */
export function requireWholeGguf(path: string, metadata: ReadonlyMap<string, unknown>): void {
  const type = metadata.get("general.type");
  const isVision = type === "mmproj" || metadata.get("general.architecture") === "clip";
  if (isVision) {
    throw new ConfigError(
      `${path} is the vision part of a model (an mmproj file), no whole model: give the file of its language model`,
    );
  }
  const partial = typeof type === "string" && Object.hasOwn(partialTypes, type) ? partialTypes[type] : undefined;
  if (partial) throw new ConfigError(`${path} is ${partial}`);
  const [count, number] = [metadata.get("split.count"), metadata.get("split.no")];
  if (typeof count === "number" && count > 1) {
    throw new ConfigError(
      `${path} is file ${Number(number) + 1} of ${count} of one model: join them first ` +
        "(llama.cpp: llama-gguf-split --merge FIRST_FILE WHOLE.gguf), and give that file",
    );
  }
}
