import { F, type nn, type Tensor, tidy } from "@asvr/torch";
import type { Sample } from "../data/samples.js";
import { IGNORE_INDEX, IMAGE_TOKEN_INDEX } from "../data/samples.js";
import { LlamaForCausalLM } from "../language/llama.js";
import { Projector } from "../layers/projector.js";
import { type Alignment, CodeSupervision } from "../supervision/supervision.js";
import { VisualHead } from "../supervision/visual-head.js";
import { ResidualQuantizer } from "../tokenizers/residual-quantizer.js";
import { VisionLanguageModel } from "./lvlm.js";
import { VisualCache } from "./visual-cache.js";

/** Sizes of the model that tests use: small, and no two of them alike. */
export const tiny = {
  vocabSize: 41,
  visualDim: 10,
  /** Visual tokens of a picture. */
  positions: 5,
  depth: 3,
  codebookSize: 11,
  codeDim: 6,
} as const;

/** A vision-language model of random weights with the codebook that its visual head reads. Owns both. */
export class TinyModel {
  readonly model: VisionLanguageModel;
  readonly head: VisualHead;
  readonly quantizer: ResidualQuantizer;

  constructor(alignment: Alignment = "same") {
    const { vocabSize, visualDim, depth, codebookSize, codeDim } = tiny;
    this.quantizer = new ResidualQuantizer({ dim: codeDim, codebookSize, depth, shared: false });
    this.head = new VisualHead({ hiddenSize: 32, embedDim: 12, headDim: 4, layers: 2, depth, codebookSize, codeDim });
    const language = new LlamaForCausalLM({
      vocabSize,
      hiddenSize: 32,
      intermediateSize: 44,
      numHiddenLayers: 2,
      numAttentionHeads: 4,
      numKeyValueHeads: 2,
      ropeTheta: 100,
      rmsNormEps: 1e-5,
      tieWordEmbeddings: false,
      attentionBias: true,
    });
    const supervision = new CodeSupervision("semantic", this.head, {
      embed: (codes) => this.quantizer.lookup(codes),
    });
    const projector = new Projector(visualDim, 32);
    this.model = new VisionLanguageModel({ language, projector, supervision }, alignment);
  }

  [Symbol.dispose](): void {
    this.model.dispose();
    this.quantizer.dispose();
  }
}

/** Random features and codes of pictures. The caller frees it. */
export function tinyVisuals(keys: readonly string[]): VisualCache {
  const { visualDim, positions, depth, codebookSize } = tiny;
  const { features, codes } = tidy(() => ({
    features: F.randn([keys.length, positions, visualDim]),
    codes: F.rand([keys.length, positions, depth]).mul(codebookSize).to("int64"),
  }));
  return new VisualCache(keys, features, new Map([["semantic", codes]]));
}

/** A sample of these ids ("image": the picture); the model learns the ids from entry `learnedFrom` on. */
export function tinySample(
  id: string,
  ids: readonly (number | "image")[],
  { key, learnedFrom = ids.length, prefixLength }: { key?: string; learnedFrom?: number; prefixLength?: number },
): Sample {
  const inputIds = Int32Array.from(ids, (token) => (token === "image" ? IMAGE_TOKEN_INDEX : token));
  const labels = inputIds.map((token, entry) => (token >= 0 && entry >= learnedFrom ? token : IGNORE_INDEX));
  return { id, inputIds, labels, ...(key !== undefined && { image: { key } }), prefixLength };
}

/** Hidden states of one sample alone, (tokens, hiddenSize): plain causal attention, nothing packed, nothing padded. */
export function statesAlone(model: VisionLanguageModel, { inputIds, image }: Sample, visuals: VisualCache): Tensor {
  return tidy(() => {
    const at = inputIds.indexOf(IMAGE_TOKEN_INDEX);
    const text = (ids: Int32Array) => {
      const index = F.zeros([ids.length], "int64").copyFrom(BigInt64Array.from(ids, BigInt));
      return model.language.embed(index);
    };
    const parts = image
      ? [
          text(inputIds.subarray(0, at)),
          model.projector.forward(visuals.batch([image.key]).features.select(0, 0)),
          text(inputIds.subarray(at + 1)),
        ]
      : [text(inputIds)];
    return model.language.model.forward(F.cat(parts).unsqueeze(0)).select(0, 0);
  });
}

/** Clears all gradients, takes those of `loss`, and returns them by name: zeros where none arrived. */
export function gradientsOf(module: nn.Module, loss: Tensor): Map<string, Tensor> {
  for (const parameter of module.parameters()) parameter.grad = null;
  loss.backward(undefined, { retainGraph: true });
  const state = module.stateDict();
  return new Map(
    Array.from(module.gradients(), ([name, gradient]) => [name, (gradient ?? state.get(name)!.zerosLike()).clone()]),
  );
}
