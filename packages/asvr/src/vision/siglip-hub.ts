import { ConfigError } from "../errors.js";
import type { SiglipVisionConfig } from "./siglip.js";
import type { SiglipEncoderConfig } from "./siglip-encoder.js";
import type { SiglipFlexConfig } from "./siglip-flex.js";
import type { SiglipTextConfig } from "./siglip-text.js";

/** The part of a hub checkpoint's config.json that both towers share; what is left out has its default. */
interface HubTower {
  readonly hidden_size?: number;
  readonly intermediate_size?: number;
  readonly num_hidden_layers?: number;
  readonly num_attention_heads?: number;
  readonly layer_norm_eps?: number;
  readonly hidden_act?: string;
}

/** `vision_config` of a SigLIP checkpoint, or of SigLIP 2 at a fixed resolution. */
export interface HubSiglipVision extends HubTower {
  readonly image_size?: number;
  readonly patch_size?: number;
}

/** `vision_config` of a SigLIP 2 checkpoint with flexible resolution ("naflex"). */
export interface HubSiglipFlex extends HubTower {
  /** Of the square table of positions. */
  readonly num_patches?: number;
  readonly patch_size?: number;
}

/** `text_config` of a SigLIP checkpoint. */
export interface HubSiglipText extends HubTower {
  readonly vocab_size?: number;
  readonly max_position_embeddings?: number;
  readonly projection_size?: number;
}

/** @throws ConfigError for an activation that is no GELU */
export function siglipVisionConfig(hub: HubSiglipVision, head: SiglipVisionConfig["head"]): SiglipVisionConfig {
  return { ...towerConfig(hub), imageSize: hub.image_size ?? 224, patchSize: hub.patch_size ?? 16, head };
}

/** @throws ConfigError for an activation that is no GELU, and a number of positions that is no square */
export function siglipFlexConfig(hub: HubSiglipFlex, head: SiglipFlexConfig["head"]): SiglipFlexConfig {
  const positions = hub.num_patches ?? 256;
  const gridSide = Math.round(Math.sqrt(positions));
  if (gridSide * gridSide !== positions) {
    throw new ConfigError(`SigLIP 2: num_patches is ${positions}, expected the square of a whole number`);
  }
  const patchSize = hub.patch_size ?? 16;
  return { ...towerConfig(hub), gridSide, patchSize, imageSize: gridSide * patchSize, head };
}

/** @throws ConfigError for an activation that is no GELU */
export function siglipTextConfig(hub: HubSiglipText): SiglipTextConfig {
  return {
    ...towerConfig(hub),
    vocabularySize: hub.vocab_size ?? 32000,
    maxTokens: hub.max_position_embeddings ?? 64,
    projectionDim: hub.projection_size,
    readout: "last-position",
  };
}

function towerConfig(hub: HubTower): SiglipEncoderConfig {
  const activation = hub.hidden_act ?? "gelu_pytorch_tanh";
  if (activation !== "gelu_pytorch_tanh" && activation !== "gelu") {
    throw new ConfigError(`SigLIP: hidden_act is "${activation}", expected "gelu_pytorch_tanh" or "gelu"`);
  }
  return {
    dim: hub.hidden_size ?? 768,
    mlpDim: hub.intermediate_size ?? 3072,
    layers: hub.num_hidden_layers ?? 12,
    heads: hub.num_attention_heads ?? 12,
    epsilon: hub.layer_norm_eps ?? 1e-6,
    activation: activation === "gelu" ? "gelu" : "gelu-tanh",
  };
}
