import { CheckpointError, type Tensor } from "@asvr/torch";

/**
 * The name in `Llava` and `LlavaNext` of a weight of Hugging Face's checkpoints, whose layout has changed over the years:
 * - `language_model.model.layers…`, `language_model.lm_head…`, `vision_tower.vision_model.encoder…` (until 2025)
 * - `model.language_model.layers…`, `lm_head…`, `model.vision_tower.vision_model.encoder…`
 * - the same with `model.vision_tower.encoder…`
 *
 * and in each `multi_modal_projector.linear_1` and LLaVA-NeXT's `image_newline`, with `model.` before them in the later
 * ones. Other names stay as they are.
 */
export function llavaName(hubName: string): string {
  return hubName
    .replace(/^model\.(?=(?:language_model|vision_tower|multi_modal_projector)\.|image_newline$)/, "")
    .replace(/^lm_head\./, "language_model.lm_head.")
    .replace(/^language_model\.(?!model\.|lm_head\.)/, "language_model.model.")
    .replace(/^vision_tower\.vision_model\./, "vision_tower.")
    .replace(/^(multi_modal_projector)\.linear_([12])\./, (_, part, n) => `${part}.${2 * (n - 1)}.`);
}

/** What files hold beside the weights: constants that follow from the configuration, and DINO's unused mask token. */
const constants = /(?:\.embeddings\.position_ids|\.embeddings\.mask_token|\.rotary_emb\.inv_freq)$/;

/**
 * A file's weights by those names, without constants.
 * @throws CheckpointError when two of them have one name
 */
export function llavaWeights(hub: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const weights = new Map<string, Tensor>();
  const origins = new Map<string, string>();
  for (const [hubName, tensor] of hub) {
    if (constants.test(hubName)) continue;
    const name = llavaName(hubName);
    const other = origins.get(name);
    if (other !== undefined) throw new CheckpointError(`the weights ${other} and ${hubName} are both ${name}`);
    origins.set(name, hubName);
    weights.set(name, tensor);
  }
  return weights;
}

/** The name of a weight of `Llava` in the layout that transformers of every version reads: the oldest. */
export function hubName(name: string): string {
  return name
    .replace(/^vision_tower\./, "vision_tower.vision_model.")
    .replace(/^(multi_modal_projector)\.([02])\./, (_, part, index) => `${part}.linear_${index / 2 + 1}.`);
}
