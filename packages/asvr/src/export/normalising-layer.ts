import { F, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import type { SiglipVisionConfig } from "../vision/siglip.js";

/**
 * What the extra layer multiplies with. What it can't take away, its own input, is then a millionth of what it gives; as
 * a power of two it changes no digit of the projector's weights, which are divided by it.
 */
export const NORMALISED_SCALE = 2 ** 20;

/**
 * A layer of a SigLIP tower, by its weights' names, whose output is the normalised input, NORMALISED_SCALE times as
 * large. Our micro runs normalise features between tower and projector; Hugging Face's LLaVA has nothing there.
 *
 * Attention gives zero. The feed-forward reads its own norm, without gain, and is linear although its activation is
 * not: gelu(z) − gelu(−z) = z, for every form of the GELU.
 * @throws ConfigError for a feed-forward that is too narrow for it
 */
export function normalisingLayer({ dim, mlpDim }: SiglipVisionConfig): Map<string, Tensor> {
  if (mlpDim < 2 * dim) {
    throw new ConfigError(
      `a tower with ${mlpDim} hidden units has no room for the normalisation of its ${dim} features, which takes twice ` +
        "as many; Hugging Face's LLaVA can't express this model",
    );
  }
  return tidy(() => {
    const identity = F.eye(dim);
    const spare = mlpDim - 2 * dim;
    const weights = new Map<string, Tensor>();
    for (const norm of ["layer_norm1", "layer_norm2"]) {
      weights.set(`${norm}.weight`, F.ones([dim]));
      weights.set(`${norm}.bias`, F.zeros([dim]));
    }
    for (const part of ["q_proj", "k_proj", "v_proj", "out_proj"]) {
      weights.set(`self_attn.${part}.weight`, F.zeros([dim, dim]));
      weights.set(`self_attn.${part}.bias`, F.zeros([dim]));
    }
    weights.set("mlp.fc1.weight", F.cat([identity, identity.neg(), F.zeros([spare, dim])]));
    weights.set("mlp.fc1.bias", F.zeros([mlpDim]));
    const both = F.cat([identity, identity.neg(), F.zeros([dim, spare])], 1);
    weights.set("mlp.fc2.weight", both.mul(NORMALISED_SCALE));
    weights.set("mlp.fc2.bias", F.zeros([dim]));
    return weights;
  });
}
