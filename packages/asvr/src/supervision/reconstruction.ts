import { F, isRecording, type Tensor, tidy } from "@asvr/torch";
import { type Accumulation, accumulateLinearNll, type LinearNll, linearNll } from "../layers/chunked-loss.js";
import type { VisualHead } from "./visual-head.js";

/**
 * States of the depth transformer that may be kept for backward at once, in elements of one layer's output: 4 Mi are
 * 256 positions of the paper's head, and about 0.2 GB a layer.
 */
const KEPT_STATES = 1 << 22;

export interface VisionLoss {
  /** Scalar in nats, with gradient: summed over positions, averaged over the depths (and summed over heads). */
  nll: Tensor;
  /** Codes predicted right, a head's depths one after the other: int64 (heads · D). */
  correctPerDepth: Tensor;
}

/** A visual loss whose gradients have been taken. */
export interface AccumulatedVisionLoss extends VisionLoss {
  /** Of scale · nll, with respect to the hidden states; null where they want none. `nll` itself has no history. */
  gradient: Tensor | null;
}

/**
 * The negative log-likelihood of Eq. 2's sum: over positions, and the mean over the D depths (the authors' weighting).
 * @param hiddenStates (positions, hiddenSize)
 * @param cumulative (positions, D, codeDim): sums of the codes' embeddings up to each depth
 * @param codes int64 (positions, D)
 */
export function reconstructionNll(
  head: VisualHead,
  hiddenStates: Tensor,
  cumulative: Tensor,
  codes: Tensor,
): VisionLoss {
  return tidy(() => {
    const features = head.features(hiddenStates, cumulative).unbind(1);
    const perDepth = features.map((x, depth) => {
      const { weight, bias } = head.depthTransformer.heads[depth]!;
      return linearNll(x, weight, bias, codes.select(1, depth));
    });
    return overDepths(perDepth);
  });
}

/**
 * `reconstructionNll`, forward and backward in one: of scale · nll, the gradients of the head's parameters are added to
 * `into`, and that of the hidden states is returned. Positions do not mix in the head, so that some at a time go
 * through it: neither its states nor its logits are held for all positions, and nothing is computed twice.
 * @param options `chunkRows`: positions that pass the head at a time
 */
export function accumulateReconstructionNll(
  head: VisualHead,
  hiddenStates: Tensor,
  cumulative: Tensor,
  codes: Tensor,
  { chunkRows = defaultChunk(head), ...accumulation }: Accumulation & { chunkRows?: number },
): AccumulatedVisionLoss {
  return tidy(() => {
    const rows = hiddenStates.size(0);
    const data = hiddenStates.detach();
    const gradient = isRecording() && hiddenStates.requiresGrad ? data.zerosLike() : null;
    const parts: VisionLoss[] = [];
    for (let start = 0; start < rows; start += chunkRows) {
      const part = (whole: Tensor) => whole.narrow(0, start, Math.min(chunkRows, rows - start));
      parts.push(
        tidy(() => {
          const states = part(data)
            .detach()
            .setRequiresGrad(gradient !== null);
          const features = head.features(states, part(cumulative));
          const { gradient: ofFeatures, ...loss } = accumulateClassifiers(head, features, part(codes), accumulation);
          if (ofFeatures) accumulation.into.backward(features, ofFeatures);
          if (gradient) part(gradient).copy_(states.grad!);
          return loss;
        }),
      );
    }
    if (parts.length === 1) return { ...parts[0]!, gradient };
    return {
      nll: F.stack(parts.map((part) => part.nll)).sum(),
      correctPerDepth: F.stack(parts.map((part) => part.correctPerDepth)).sum(0),
      gradient,
    };
  });
}

function defaultChunk({ config }: VisualHead): number {
  return Math.max(1, Math.floor(KEPT_STATES / (config.depth * config.embedDim)));
}

/**
 * The classifiers of all depths, forward and backward one depth at a time: gradients of their weights are added to
 * `into`, and that of the features is returned where they want one, float32 as they are.
 * @param features (rows, D, embedDim)
 * @param codes int64 (rows, D)
 */
export function accumulateClassifiers(
  head: VisualHead,
  features: Tensor,
  codes: Tensor,
  { scale, into }: Accumulation,
): AccumulatedVisionLoss {
  return tidy(() => {
    const { depth: depths } = head.config;
    const data = features.detach();
    const gradient = isRecording() && features.requiresGrad ? data.zerosLike() : null;
    const perDepth = Array.from({ length: depths }, (_, depth) =>
      tidy(() => {
        const { weight, bias } = head.depthTransformer.heads[depth]!;
        const x = data
          .select(1, depth)
          .detach()
          .setRequiresGrad(gradient !== null);
        // The loss is the mean over the depths.
        const options = { scale: scale / depths, into };
        const { nll, correct, gradient: ofX } = accumulateLinearNll(x, weight, bias, codes.select(1, depth), options);
        if (ofX) gradient!.select(1, depth).copy_(ofX);
        return { nll, correct };
      }),
    );
    return { ...overDepths(perDepth), gradient };
  });
}

function overDepths(perDepth: readonly LinearNll[]): VisionLoss {
  return {
    nll: F.stack(perDepth.map(({ nll }) => nll)).mean(),
    correctPerDepth: F.stack(perDepth.map(({ correct }) => correct)),
  };
}
