import { ConfigError } from "../errors.js";
import type { DepthAnythingConfig } from "./depth-anything.js";
import type { Dinov2Config } from "./dinov2.js";

/** config.json of a DINOv2, or `backbone_config` of Depth Anything's; what is left out has its default. */
export interface HubDinov2 {
  readonly hidden_size?: number;
  readonly num_hidden_layers?: number;
  readonly num_attention_heads?: number;
  readonly mlp_ratio?: number;
  readonly layer_norm_eps?: number;
  readonly hidden_act?: string;
  readonly qkv_bias?: boolean;
  readonly image_size?: number;
  readonly patch_size?: number;
}

/** @throws ConfigError for an activation that is no GELU */
export function dinov2Config(hub: HubDinov2, resizing: Dinov2Config["resizing"] = "bicubic"): Dinov2Config {
  const activation = hub.hidden_act ?? "gelu";
  if (activation !== "gelu" && activation !== "gelu_pytorch_tanh") {
    throw new ConfigError(`DINOv2: hidden_act is "${activation}", expected "gelu" or "gelu_pytorch_tanh"`);
  }
  const dim = hub.hidden_size ?? 768;
  return {
    dim,
    mlpDim: Math.trunc(dim * (hub.mlp_ratio ?? 4)),
    layers: hub.num_hidden_layers ?? 12,
    heads: hub.num_attention_heads ?? 12,
    epsilon: hub.layer_norm_eps ?? 1e-6,
    activation: activation === "gelu" ? "gelu" : "gelu-tanh",
    qkvBias: hub.qkv_bias ?? true,
    imageSize: hub.image_size ?? 224,
    patchSize: hub.patch_size ?? 16,
    resizing,
  };
}

/** config.json of a Depth Anything. */
export interface HubDepthAnything {
  readonly backbone_config?: HubDinov2 & {
    readonly out_indices?: readonly number[];
    readonly out_features?: readonly string[];
    readonly apply_layernorm?: boolean;
  };
  readonly reassemble_factors?: readonly number[];
  readonly neck_hidden_sizes?: readonly number[];
  readonly fusion_hidden_size?: number;
  readonly head_hidden_size?: number;
  readonly head_in_index?: number;
  readonly depth_estimation_type?: "relative" | "metric";
  readonly max_depth?: number | null;
}

/** The backbone of its smallest checkpoint, which a file without `backbone_config` has. */
const smallBackbone = {
  ...{ hidden_size: 384, num_attention_heads: 6, image_size: 518, patch_size: 14 },
  out_indices: [9, 10, 11, 12],
};

/** @throws ConfigError for what `dinov2Config` refuses, and stages that are not named */
export function depthAnythingConfig(
  hub: HubDepthAnything,
  resizing: Dinov2Config["resizing"] = "bicubic",
): DepthAnythingConfig {
  const backbone: NonNullable<HubDepthAnything["backbone_config"]> = hub.backbone_config ?? smallBackbone;
  return {
    backbone: dinov2Config(backbone, resizing),
    stages: stagesOf(backbone),
    normaliseStages: backbone.apply_layernorm ?? true,
    neck: {
      factors: hub.reassemble_factors ?? [4, 2, 1, 0.5],
      widths: hub.neck_hidden_sizes ?? [48, 96, 192, 384],
      fusionDim: hub.fusion_hidden_size ?? 64,
    },
    headDim: hub.head_hidden_size ?? 32,
    headStage: hub.head_in_index ?? -1,
    depth: hub.depth_estimation_type === "metric" ? { kind: "metric", most: hub.max_depth ?? 1 } : { kind: "relative" },
  };
}

/** Stages by index, or by name: "stem" is the embeddings, "stage3" the output of layer 3. Of neither, the last. */
function stagesOf(backbone: NonNullable<HubDepthAnything["backbone_config"]>): readonly number[] {
  if (backbone.out_indices) return backbone.out_indices;
  return (backbone.out_features ?? []).map((name) => {
    if (name === "stem") return 0;
    const [, layer] = /^stage(\d+)$/.exec(name) ?? [];
    if (layer === undefined) throw new ConfigError(`Depth Anything: out_features has "${name}", expected "stage3" or so`);
    return Number(layer);
  });
}
