import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { readManifest } from "../../training/manifest.js";
import { readConfig, withoutNulls } from "../config-place.js";
import { ADAPTER_CONFIG, adapterBase, quantisation } from "../whole-model.js";

/** What a folder is, and facts of its own that are worth a line each. */
export interface Kind {
  readonly kind: string;
  readonly facts: Readonly<Record<string, string>>;
}

/** What `model_type` of a config.json means here. */
const modelTypes: Readonly<Record<string, string>> = {
  llava: "LLaVA of Hugging Face's (LlavaForConditionalGeneration)",
  llava_next: "LLaVA-NeXT of Hugging Face's (LlavaNextForConditionalGeneration)",
  llava_llama: "LLaVA in its authors' own layout, on a Llama",
  llava_mistral: "LLaVA in its authors' own layout, on a Mistral",
  llava_qwen: "LLaVA in its authors' own layout, on a Qwen2",
  llama: "language model, Llama",
  mistral: "language model, Mistral",
  qwen2: "language model, Qwen2",
  siglip: "SigLIP, both towers",
  siglip_vision_model: "vision tower, SigLIP",
  siglip2: "SigLIP 2, both towers",
  siglip2_vision_model: "vision tower, SigLIP 2",
  clip: "CLIP, both towers",
  clip_vision_model: "vision tower, CLIP",
  dinov3_vit: "vision tower, DINOv3",
  depth_anything: "depth estimation, Depth Anything",
};

/** A folder with Hugging Face's config.json. @throws ConfigError when it can't be read */
export function hubKind(folder: string): Kind {
  const config = withoutNulls(readConfig(join(folder, "config.json"))) as Record<string, unknown>;
  const { model_type: type, text_config: text, vision_config: vision } = config;
  const named = type ?? config._class_name; // diffusers has the second
  const kind =
    modelTypes[String(named)] ?? `a model of the type ${JSON.stringify(named) ?? "(none is given)"}, unknown here`;
  const facts: Record<string, string> = {};
  if (isObject(text)) facts["language model"] = sizes({ model_type: "llama", ...text });
  if (isObject(vision)) facts["vision tower"] = sizes({ model_type: "clip_vision_model", ...vision });
  if (!isObject(text) && !isObject(vision) && sizes(config) !== "") facts.sizes = sizes(config);
  if (config.vision_feature_layer !== undefined) {
    facts.features = `hidden state ${String(config.vision_feature_layer)}, ${String(config.vision_feature_select_strategy ?? "default")}`;
  }
  if (typeof config.mm_vision_tower === "string") facts["vision tower"] = config.mm_vision_tower;
  if (existsSync(join(folder, "visual_head.safetensors"))) facts["visual head"] = "beside it, visual_head.safetensors";
  const method = quantisation(config);
  if (method !== undefined) facts.quantised = `${method}; such weights can't be read here`;
  if (existsSync(join(folder, ADAPTER_CONFIG))) facts.adapter = `${ADAPTER_CONFIG} lies in it; it is not applied`;
  return { kind, facts };
}

/** A folder of PEFT's. */
export function adapterKind(folder: string): Kind {
  return { kind: "LoRA adapter (PEFT), no whole model", facts: { base: adapterBase(folder) ?? "none is named" } };
}

/** The folder of one of our runs. */
export function runKind(folder: string, newest: string | undefined): Kind {
  const { name, title, seed, scale } = readConfig(join(folder, "recipe.json"));
  return {
    kind: "run of asvr",
    facts: {
      recipe: `${String(name)} (${String(title)}), ${String(scale)} scale, seed ${String(seed)}`,
      checkpoint: newest ?? "none that is whole",
    },
  };
}

/** One checkpoint of a run. */
export async function checkpointKind(folder: string): Promise<Kind> {
  const { stage, step, files } = await readManifest(folder);
  const missing = Object.keys(files).filter((file) => !existsSync(join(folder, file)));
  return {
    kind: "checkpoint of asvr",
    facts: {
      position: `stage ${stage}, step ${step}`,
      files: missing.length > 0 ? `incomplete: ${missing.join(", ")} is missing` : "all that its manifest names",
    },
  };
}

/** A file of weights alone. */
export function fileKind(path: string, format: "safetensors" | "torch", inside: string): Kind {
  const facts: Record<string, string> = inside === "" ? {} : { inside };
  return { kind: `weights, ${format === "torch" ? "a file of torch.save" : "safetensors"}: ${basename(path)}`, facts };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** "llama, 32 layers of 4096, vocabulary 32000": what the file says, without what it leaves out. */
function sizes(config: Record<string, unknown>): string {
  const layers = config.num_hidden_layers === undefined ? "" : `${String(config.num_hidden_layers)} layers`;
  const width = config.hidden_size === undefined ? "" : `width ${String(config.hidden_size)}`;
  const words = config.vocab_size === undefined ? "" : `vocabulary ${String(config.vocab_size)}`;
  const picture =
    config.image_size === undefined
      ? ""
      : `${String(config.image_size)} pixels in patches of ${String(config.patch_size)}`;
  return [config.model_type, layers, width, words, picture].filter(Boolean).join(", ");
}
