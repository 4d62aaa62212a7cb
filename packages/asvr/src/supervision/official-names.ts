import type { Tensor } from "@asvr/torch";

/** Where the authors' checkpoints keep the parts of the visual head. */
const DEPTH_TRANSFORMER = "model.vision_tokenizer.vision_tower.rqtransformer_semantic.";

/**
 * The visual head's weights in the authors' layout, under this project's names: the depth transformer lies within
 * their tokenizer there, and each of its layers has two biases that the code never reads.
 * @param weights of a whole checkpoint or of the head alone; others are left out
 */
export function officialHeadWeights(weights: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  for (const [name, tensor] of weights) {
    const own = name.replace(DEPTH_TRANSFORMER, "rqtransformer_semantic.");
    const isHead = own.startsWith("projector.") || own.startsWith("rqtransformer_semantic.");
    if (isHead && !/\.linear[12]\.bias$/.test(own)) found.set(own, tensor);
  }
  return found;
}
