import { z } from "zod";
import { ConfigError } from "../errors.js";
import { type ConfigPlace, count, fieldAt, parseConfig } from "./config-place.js";

const quantizer = z.looseObject({
  n_embed: count.optional(),
  embed_dim: count.optional(),
  /** Rows, columns, D. */
  code_shape: z.tuple([count, count, count]).optional(),
  shared_codebook: z.boolean().optional(),
});

const decoder = z.looseObject({
  ch: count,
  out_ch: count,
  ch_mult: z.array(count).nonempty(),
  num_res_blocks: z.int().nonnegative(),
  attn_resolutions: z.array(count),
  resolution: count,
  decoder_in_channels: count,
});

const schema = quantizer.extend({
  layer_sem: count.optional(),
  layer_recon: count.optional(),
  layer_shortcut: count.nullish(),
  weight_shortcut: z.number().nullish(),
  vq_sem: quantizer.optional(),
  vq_semantic: quantizer.optional(),
  vq_pix: quantizer.optional(),
  vq_pixel: quantizer.optional(),
  ddconfig: z.unknown().optional(),
  decoder_latent_shape: z.tuple([count, count]).nullish(),
});

/** What a tokenizer's config.json says of a quantizer. */
export type HubQuantizer = z.infer<typeof quantizer>;

/** What a tokenizer's config.json says: VILA-U's has one quantizer, DualToken's two. */
export interface HubTokenizer {
  readonly place: ConfigPlace;
  readonly layerSem?: number | undefined;
  readonly layerRecon?: number | undefined;
  readonly shortcut: { readonly layer: number; readonly weight: number } | null;
  /** Of semantic codes, or the only one. */
  readonly semantic: HubQuantizer;
  readonly appearance: HubQuantizer;
  /** Not looked at before `pixelDecoder` is asked of it: VILA-U's decoder is another. */
  readonly ddconfig: unknown;
  readonly latentShape: readonly [number, number] | null;
}

/**
 * Reads config.json of VILA-U's or DualToken's tokenizer; what it says may stand in `rqvaesiglip`.
 * @throws ConfigError that names file and field
 */
export function tokenizerConfig(json: Readonly<Record<string, unknown>>, file: string): HubTokenizer {
  const inner = json.rqvaesiglip;
  const place = inner === undefined ? { file } : { file, field: "rqvaesiglip" };
  const hub = parseConfig(schema, inner ?? json, place);
  const { layer_shortcut: layer, weight_shortcut: weight } = hub;
  if (typeof layer === "number" && typeof weight !== "number") {
    throw new ConfigError(`${fieldAt(place, "weight_shortcut")} is missing, but layer_shortcut is ${layer}`);
  }
  return {
    place,
    layerSem: hub.layer_sem,
    layerRecon: hub.layer_recon,
    shortcut: typeof layer === "number" && typeof weight === "number" ? { layer, weight } : null,
    semantic: hub.vq_sem ?? hub.vq_semantic ?? hub,
    appearance: hub.vq_pix ?? hub.vq_pixel ?? {},
    ddconfig: hub.ddconfig,
    latentShape: hub.decoder_latent_shape ?? null,
  };
}

/** The sizes of the decoder. @throws ConfigError that names file and field */
export function pixelDecoder({ ddconfig, place }: HubTokenizer): z.infer<typeof decoder> {
  return parseConfig(decoder, ddconfig, { ...place, field: [place.field, "ddconfig"].filter(Boolean).join(".") });
}
