import { ConfigError } from "../errors.js";
import { hubGelus } from "../layers/gelu.js";
import type { ClipVisionConfig } from "./clip.js";

/** `vision_config` of a CLIP checkpoint's config.json; what is left out has its default. */
export interface HubClipVision {
  readonly hidden_size?: number;
  readonly intermediate_size?: number;
  readonly num_hidden_layers?: number;
  readonly num_attention_heads?: number;
  readonly layer_norm_eps?: number;
  readonly hidden_act?: string;
  readonly image_size?: number;
  readonly patch_size?: number;
}

/** @throws ConfigError for an activation that is no GELU */
export function clipVisionConfig(hub: HubClipVision): ClipVisionConfig {
  const name = hub.hidden_act ?? "quick_gelu";
  const activation = hubGelus[name];
  if (!activation) {
    throw new ConfigError(`CLIP: hidden_act is "${name}", expected one of ${Object.keys(hubGelus).join(", ")}`);
  }
  return {
    dim: hub.hidden_size ?? 768,
    mlpDim: hub.intermediate_size ?? 3072,
    layers: hub.num_hidden_layers ?? 12,
    heads: hub.num_attention_heads ?? 12,
    epsilon: hub.layer_norm_eps ?? 1e-5,
    activation,
    imageSize: hub.image_size ?? 224,
    patchSize: hub.patch_size ?? 32,
  };
}
