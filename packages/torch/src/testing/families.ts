/**
 * Every family of goldens by the prefix of its files' names in `numerics/`. A family takes each file that begins with
 * its prefix; a file that begins with none of them is unknown.
 */
export const families = [
  "a_siglip_vision",
  "a_siglip_contrastive",
  "a_clip_vision",
  "b_llama",
  "b_mistral",
  "b_qwen2",
  "c_llava",
  "m_llava_next",
  "d_visual_head",
  "e_rq_ema",
  "e_rq_per_depth",
  "e_quant_blocks",
  "e_dualtoken",
  "e_vilau",
  "f_pixel_decoder",
  "f_discriminator",
  "f_lpips",
  "g_asvr_llama",
  "g_asvr_mistral",
  "g_asvr_qwen2",
  "h_ross_dit",
  "h_ross_vit",
  "h_autoencoder_kl",
  "i_images",
  "j_conversations",
  "j_chat_templates",
  "k_optimizer",
  "k_lora",
  "l_dinov3",
  "l_depth_anything",
  "l_siglip2",
  "n_tokenizers",
  "n_smollm2",
] as const;

/** A family of goldens: the prefix of its files. */
export type Family = (typeof families)[number];
