import { noGrad, type Tensor, tidy } from "@asvr/torch";
import { packSamples } from "../data/packing.js";
import type { Sample } from "../data/samples.js";
import { batchTensors } from "../model/layout.js";
import type { VisionLanguageModel } from "../model/lvlm.js";

export interface AttentionMap {
  /** Mean over heads and layers of the last token's attention to each visual token: at most 1 in sum. */
  mean: number[];
  /** Mean over heads of the last token's attention to each visual token, by layer. */
  byLayer: number[][];
}

/**
 * Where the last token of a prompt looks in the picture (paper Figures 3 and 4). What a model attends to is not the
 * reason for its answer; it is what it had at hand.
 * @param features (1, positions, visualDim) of the prompt's picture
 */
export function attentionToPicture(
  model: VisionLanguageModel,
  prompt: Sample,
  features: Tensor,
  { imageTokens, device }: { imageTokens: number; device: string },
): AttentionMap {
  return noGrad(() =>
    tidy(() => {
      const capacity = prompt.inputIds.length + imageTokens;
      const packed = packSamples([prompt], { capacity, imageTokens, compact: false });
      const { start, length } = packed.images[0]!;
      const byLayer: number[][] = [];
      model.hiddenStates(batchTensors(packed, device), features, {
        observe: (layer, weights) => {
          // (1, heads, tokens, tokens): the last query, the picture's keys
          const last = weights.select(2, -1).narrow(2, start, length).mean([0, 1]);
          byLayer[layer] = last.toNumbers();
        },
      });
      const mean = byLayer[0]!.map((_, at) => byLayer.reduce((sum, layer) => sum + layer[at]!, 0) / byLayer.length);
      return { mean, byLayer };
    }),
  );
}
