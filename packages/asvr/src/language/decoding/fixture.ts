import { F, type Tensor, tensor, tidy } from "@asvr/torch";
import type { LlamaConfig, LlamaForCausalLM } from "../llama.js";
import type { Decoder, DecodingListener, DecodingOptions, EndReason } from "./decoder.js";
import type { SequenceCache } from "./sequence-cache.js";

/** What was told about one request. */
export interface Answer {
  readonly ids: number[];
  readonly logProbs: (number | undefined)[];
  reason?: EndReason;
}

/** @param enough says when the listener wants no more */
export function ask(
  decoder: Decoder,
  prompt: Tensor,
  options: DecodingOptions,
  enough: (ids: readonly number[]) => boolean = () => false,
  prefix?: SequenceCache,
): Answer {
  const answer: Answer = { ids: [], logProbs: [] };
  const listener: DecodingListener = {
    token(id, logProb) {
      answer.ids.push(id);
      answer.logProbs.push(logProb);
      return !enough(answer.ids);
    },
    ended(reason) {
      answer.reason = reason;
    },
  };
  decoder.add(prompt, options, listener, prefix);
  return answer;
}

export function finish(decoder: Decoder): void {
  while (decoder.step());
}

/** Greedy ids, the whole text again for every token. before (1, tokens, hiddenSize) */
export function greedyAlone(
  language: LlamaForCausalLM,
  ids: readonly number[],
  count: number,
  before?: Tensor,
): number[] {
  const answer: number[] = [];
  while (answer.length < count) {
    const next = tidy(() => {
      const said = ids.length + answer.length > 0 ? [embedIds(language, [...ids, ...answer])] : [];
      const states = language.model.forward(F.cat(before ? [before, ...said] : said, 1));
      return language.logits(states.select(1, -1)).argmax(-1).item();
    });
    answer.push(next);
  }
  return answer;
}

/** (1, tokens, hiddenSize) */
export function embedIds(language: LlamaForCausalLM, ids: readonly number[]): Tensor {
  return tidy(() => language.embed(tensor(Int32Array.from(ids))).unsqueeze(0));
}

export const tinyLlama: LlamaConfig = {
  ...{ vocabSize: 29, hiddenSize: 24, intermediateSize: 20, numHiddenLayers: 3 },
  ...{ numAttentionHeads: 6, numKeyValueHeads: 2, ropeTheta: 10_000, rmsNormEps: 1e-5 },
  ...{ tieWordEmbeddings: false, attentionBias: true },
};

/** Larger weights than a fresh model's: its answers vary. */
export function shake(language: LlamaForCausalLM): void {
  tidy(() => {
    for (const parameter of language.parameters()) parameter.detach().add_(F.randn(parameter.shape).mul(0.3));
  });
}
