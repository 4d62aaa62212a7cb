import { ConfigError } from "../errors.js";
import { hubGelus } from "../layers/gelu.js";
import type { Dinov3Config } from "./dinov3.js";

/** config.json of a DINOv3 ViT ("dinov3_vit"); what is left out has its default. */
export interface HubDinov3 {
  readonly hidden_size?: number;
  readonly intermediate_size?: number;
  readonly num_hidden_layers?: number;
  readonly num_attention_heads?: number;
  readonly layer_norm_eps?: number;
  readonly hidden_act?: string;
  readonly use_gated_mlp?: boolean;
  readonly num_register_tokens?: number;
  readonly image_size?: number;
  readonly patch_size?: number;
  readonly rope_theta?: number;
  readonly query_bias?: boolean;
  readonly key_bias?: boolean;
  readonly value_bias?: boolean;
  readonly proj_bias?: boolean;
  readonly mlp_bias?: boolean;
}

/** @throws ConfigError for an activation that is neither a GELU nor SiLU */
export function dinov3Config(hub: HubDinov3): Dinov3Config {
  const name = hub.hidden_act ?? "gelu";
  const activation = name === "silu" ? name : hubGelus[name];
  if (!activation) {
    throw new ConfigError(
      `DINOv3: hidden_act is "${name}", expected "silu" or one of ${Object.keys(hubGelus).join(", ")}`,
    );
  }
  return {
    dim: hub.hidden_size ?? 384,
    mlpDim: hub.intermediate_size ?? 1536,
    layers: hub.num_hidden_layers ?? 12,
    heads: hub.num_attention_heads ?? 6,
    epsilon: hub.layer_norm_eps ?? 1e-5,
    activation,
    gated: hub.use_gated_mlp ?? false,
    registers: hub.num_register_tokens ?? 0,
    imageSize: hub.image_size ?? 224,
    patchSize: hub.patch_size ?? 16,
    ropeTheta: hub.rope_theta ?? 100,
    bias: {
      query: hub.query_bias ?? true,
      key: hub.key_bias ?? false,
      value: hub.value_bias ?? true,
      output: hub.proj_bias ?? true,
      mlp: hub.mlp_bias ?? true,
    },
  };
}
