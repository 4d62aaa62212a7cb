import { type ClipVisionConfig, ClipVisionTower } from "./clip.js";
import { DepthAnything, type DepthAnythingConfig } from "./depth-anything.js";
import { type Dinov2Config, Dinov2Tower } from "./dinov2.js";
import { type Dinov3Config, Dinov3Tower } from "./dinov3.js";
import { type SiglipVisionConfig, SiglipVisionTower } from "./siglip.js";
import { type SiglipFlexConfig, SiglipFlexTower } from "./siglip-flex.js";
import type { VisionTower } from "./visual-features.js";

/** Which tower, and of which sizes. */
export type VisionConfig =
  | { readonly kind: "clip"; readonly config: ClipVisionConfig }
  | { readonly kind: "siglip"; readonly config: SiglipVisionConfig }
  | { readonly kind: "siglip-flex"; readonly config: SiglipFlexConfig }
  | { readonly kind: "dinov2"; readonly config: Dinov2Config }
  | { readonly kind: "dinov3"; readonly config: Dinov3Config }
  | { readonly kind: "depth-anything"; readonly config: DepthAnythingConfig };

/** The tower of a configuration, with fresh weights. @throws ConfigError for sizes that don't go together */
export function buildTower({ kind, config }: VisionConfig): VisionTower {
  switch (kind) {
    case "clip":
      return new ClipVisionTower(config);
    case "siglip":
      return new SiglipVisionTower(config);
    case "siglip-flex":
      return new SiglipFlexTower(config);
    case "dinov2":
      return new Dinov2Tower(config);
    case "dinov3":
      return new Dinov3Tower(config);
    case "depth-anything":
      return new DepthAnything(config);
  }
}
