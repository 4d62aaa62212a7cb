import { F, isRecording, type Tensor, tidy, withGradients } from "@asvr/torch";
import { linearNll } from "../layers/chunked-loss.js";
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

export interface ReconstructionOptions {
  /** Positions that pass the head at a time, where a scale is given. */
  chunkRows?: number;
  /** What the loss will be multiplied with before `backward`, where that is known. */
  scale?: number;
}

/**
 * The negative log-likelihood of Eq. 2's sum: over positions, and the mean over the D depths (the authors' weighting).
 *
 * Positions do not mix in the head. With `scale`, some at a time go through it, forward and back: the gradients of its
 * parameters are added to their `.grad` on the spot, and backward brings only that of the hidden states. So neither the
 * head's states nor its logits are held for all positions, and nothing is computed twice.
 * @param hiddenStates (positions, hiddenSize)
 * @param cumulative (positions, D, codeDim): sums of the codes' embeddings up to each depth
 * @param codes int64 (positions, D)
 */
export function reconstructionNll(
  head: VisualHead,
  hiddenStates: Tensor,
  cumulative: Tensor,
  codes: Tensor,
  { chunkRows = defaultChunk(head), scale }: ReconstructionOptions = {},
): VisionLoss {
  const rows = hiddenStates.size(0);
  if (scale === undefined || !isRecording() || rows <= chunkRows) {
    return wholeNll(head, hiddenStates, cumulative, codes, scale);
  }
  return tidy(() => {
    const gradient = hiddenStates.requiresGrad ? hiddenStates.detach().zerosLike() : null;
    const parts: VisionLoss[] = [];
    for (let start = 0; start < rows; start += chunkRows) {
      const part = (whole: Tensor) => whole.narrow(0, start, Math.min(chunkRows, rows - start));
      parts.push(
        tidy(() => {
          const states = part(hiddenStates.detach()).setRequiresGrad(gradient !== null);
          const loss = backwardOnTheSpot(head, states, part(cumulative), part(codes), scale);
          if (gradient) part(gradient).copy_(states.grad!);
          return loss;
        }),
      );
    }
    const nll = F.stack(parts.map((part) => part.nll)).sum();
    return {
      nll: withGradients(nll, [hiddenStates], [gradient?.div_(scale) ?? null], scale),
      correctPerDepth: F.stack(parts.map((part) => part.correctPerDepth)).sum(0),
    };
  });
}

function defaultChunk({ config }: VisualHead): number {
  return Math.max(1, Math.floor(KEPT_STATES / (config.depth * config.embedDim)));
}

function wholeNll(
  head: VisualHead,
  hiddenStates: Tensor,
  cumulative: Tensor,
  codes: Tensor,
  scale: number | undefined,
): VisionLoss {
  return tidy(() => {
    const features = head.features(hiddenStates, cumulative).unbind(1);
    const perDepth = features.map((x, depth) => depthNll(head, x, codes, depth, scale));
    return {
      nll: F.stack(perDepth.map(({ nll }) => nll)).mean(),
      correctPerDepth: F.stack(perDepth.map(({ correct }) => correct)),
    };
  });
}

/** The same without history: gradients, times scale, are in `.grad` of the head's parameters and of `hiddenStates`. */
function backwardOnTheSpot(
  head: VisualHead,
  hiddenStates: Tensor,
  cumulative: Tensor,
  codes: Tensor,
  scale: number,
): VisionLoss {
  return tidy(() => {
    const features = head.features(hiddenStates, cumulative);
    const { gradient, ...loss } = classifyOnTheSpot(head, features.detach(), codes, features.requiresGrad, scale);
    if (gradient) features.backward(gradient);
    return loss;
  });
}

/**
 * The classifiers of all depths, forward and back one depth at a time: gradients of their weights, times scale, are
 * added to `.grad`, and that of the features is returned where it is wanted, float32 as they are.
 * @param features (rows, D, embedDim), without history
 * @param codes int64 (rows, D)
 */
export function classifyOnTheSpot(
  head: VisualHead,
  features: Tensor,
  codes: Tensor,
  wantsGradient: boolean,
  scale: number,
): VisionLoss & { gradient: Tensor | null } {
  return tidy(() => {
    const { depth: depths } = head.config;
    const gradient = wantsGradient ? features.zerosLike() : null;
    const perDepth = Array.from({ length: depths }, (_, depth) =>
      tidy(() => {
        const x = features.select(1, depth).detach().setRequiresGrad(wantsGradient);
        const { nll, correct } = depthNll(head, x, codes, depth, scale);
        if (nll.requiresGrad) nll.mul(scale / depths).backward();
        gradient?.select(1, depth).copy_(x.grad!);
        return { nll: nll.detach(), correct };
      }),
    );
    return {
      nll: F.stack(perDepth.map(({ nll }) => nll)).mean(),
      correctPerDepth: F.stack(perDepth.map(({ correct }) => correct)),
      gradient,
    };
  });
}

function depthNll({ config, depthTransformer }: VisualHead, x: Tensor, codes: Tensor, depth: number, scale?: number) {
  const { weight, bias } = depthTransformer.heads[depth]!;
  // The mean over the depths comes after it.
  const options = scale === undefined ? {} : { scale: scale / config.depth };
  return linearNll(x, weight, bias, codes.select(1, depth), options);
}
