import type { ConvPixelDecoderConfig } from "./conv-pixel-decoder.js";

/** `ddconfig` of a tokenizer's config.json: the decoder's sizes. */
export interface HubPixelDecoder {
  readonly ch: number;
  readonly out_ch: number;
  readonly ch_mult: readonly number[];
  readonly num_res_blocks: number;
  readonly attn_resolutions: readonly number[];
  readonly resolution: number;
  readonly decoder_in_channels: number;
}

export function convPixelDecoderConfig(hub: HubPixelDecoder): ConvPixelDecoderConfig {
  return {
    inChannels: hub.decoder_in_channels,
    outChannels: hub.out_ch,
    channels: hub.ch,
    multipliers: hub.ch_mult,
    resBlocks: hub.num_res_blocks,
    resolution: hub.resolution,
    attentionAt: hub.attn_resolutions,
  };
}
