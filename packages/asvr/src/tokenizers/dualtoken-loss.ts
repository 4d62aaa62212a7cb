import { F, type Tensor } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { normalise } from "../vision/contrastive.js";
import type { DualTokenOutput } from "./dualtoken.js";

/** What the unquantized tower says of the pictures: the target of the semantic codes. */
export interface DualTokenTeacher {
  /** The tower's hidden state of index -2, (batch, positions, dim). */
  readonly hiddenState: Tensor;
  /** (batch, dim) */
  readonly pooled: Tensor;
}

/** The parts of `dualTokenLosses`, scalars, unweighted. */
export interface DualTokenLosses {
  readonly semantic: Tensor;
  readonly semanticCosine: Tensor;
  readonly pooled: Tensor;
  readonly pooledCosine: Tensor;
  readonly semanticCommitment: Tensor;
  readonly appearanceCommitment: Tensor;
  readonly reconstruction: Tensor;
  /** The weighted sum. */
  readonly total: Tensor;
}

/**
 * DualToken's first-stage loss without its perceptual and adversarial terms: semantic codes follow the frozen teacher,
 * appearance codes the pixels. Weights are the release's.
 * @param pictures (batch, 3, height, width), of the size that `decode` gives
 * @throws ConfigError when the tower has no head
 */
export function dualTokenLosses(
  { semantic, appearance, semanticState, vision }: DualTokenOutput,
  { reconstruction, pictures, teacher }: { reconstruction: Tensor; pictures: Tensor; teacher: DualTokenTeacher },
): DualTokenLosses {
  const { pooled } = vision;
  if (!pooled) throw new ConfigError('DualToken: its loss needs a pooled output, but the head is "none"');
  const losses = {
    semantic: semanticState.mseLoss(teacher.hiddenState),
    semanticCosine: meanCosine(semanticState, teacher.hiddenState).neg(),
    pooled: pooled.mseLoss(teacher.pooled),
    pooledCosine: meanCosine(pooled, teacher.pooled).neg(),
    semanticCommitment: semantic.commitmentLoss,
    appearanceCommitment: appearance.commitmentLoss,
    reconstruction: reconstruction.mseLoss(pictures),
  };
  const strong = [
    losses.semantic,
    losses.semanticCosine,
    losses.semanticCommitment,
    losses.appearanceCommitment,
    losses.reconstruction,
  ];
  return { ...losses, total: F.stack(strong).sum().mul(5).add(losses.pooled).add(losses.pooledCosine) };
}

/** (…, dim), (…, dim) -> scalar */
function meanCosine(a: Tensor, b: Tensor): Tensor {
  return normalise(a).mul(normalise(b)).sum(-1).mean();
}
