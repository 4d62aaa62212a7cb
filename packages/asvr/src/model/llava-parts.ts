import { ShapeError, type Tensor, tidy } from "@asvr/torch";
import type { LlamaForCausalLM } from "../language/llama.js";

/**
 * Token embeddings with visual features in place of the image tokens, in order.
 * @param inputIds int64 (batch, tokens)
 * @param features (image tokens, hiddenSize), or null for text alone
 * @returns (batch, tokens, hiddenSize)
 * @throws ShapeError when there are more or fewer image tokens than features
 */
export function embedWithFeatures(
  language: LlamaForCausalLM,
  inputIds: Tensor,
  imageTokenId: number,
  features: Tensor | null,
): Tensor {
  return tidy(() => {
    const isImage = inputIds.eq(imageTokenId);
    const positions = isImage.flatten().nonzero().flatten();
    const count = features?.size(0) ?? 0;
    if (count !== positions.size(0)) {
      throw new ShapeError(
        `the pictures are ${count} features, but the texts have ${positions.size(0)} image tokens (id ${imageTokenId})`,
      );
    }
    // The image token need not be in the vocabulary: its row is replaced in any case.
    const embedded = language.embed(inputIds.maskedFill(isImage, 0));
    if (!features) return embedded;
    const flat = embedded.flatten(0, 1);
    return flat.indexCopy(0, positions, features.to(flat.dtype)).view(embedded.shape);
  });
}
