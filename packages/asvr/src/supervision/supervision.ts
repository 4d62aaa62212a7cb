import { F, isRecording, nn, noGrad, ShapeError, type Tensor, tidy } from "@asvr/torch";
import type { Accumulation } from "../layers/chunked-loss.js";
import {
  type AccumulatedVisionLoss,
  accumulateReconstructionNll,
  reconstructionNll,
  type VisionLoss,
} from "./reconstruction.js";
import type { VisualHead } from "./visual-head.js";

/** Which hidden state predicts the codes of image position i: the one at i, or the one before it (Eq. 2 as printed). */
export type Alignment = "same" | "next";

/**
 * What the language model's hidden states at the image positions are asked to predict: the seam of the paper. An
 * implementation has its own parameters and reads its own targets.
 */
export interface VisualSupervision extends nn.Module {
  /** "semantic", "appearance", …: names the codes that are its targets, a tensor each. */
  readonly targets: readonly string[];
  /**
   * @param hiddenStates (positions, hiddenSize): at the image positions, already aligned
   * @param codes by target name, int64 (positions, D)
   */
  loss(hiddenStates: Tensor, codes: ReadonlyMap<string, Tensor>): VisionLoss;
  /**
   * `loss`, forward and backward in one: of scale · nll, the gradients of its parameters are added to `into`, and that
   * of the hidden states is returned. Only for a supervision that needs less memory so; the others go through `loss`.
   */
  accumulate?(
    hiddenStates: Tensor,
    codes: ReadonlyMap<string, Tensor>,
    accumulation: Accumulation,
  ): AccumulatedVisionLoss;
}

/** Forward and backward of a supervision's loss, by its own `accumulate` or through the history of its `loss`. */
export function accumulateSupervision(
  supervision: VisualSupervision,
  hiddenStates: Tensor,
  codes: ReadonlyMap<string, Tensor>,
  accumulation: Accumulation,
): AccumulatedVisionLoss {
  if (supervision.accumulate) return supervision.accumulate(hiddenStates, codes, accumulation);
  return tidy(() => {
    const states = hiddenStates.detach().setRequiresGrad(isRecording() && hiddenStates.requiresGrad);
    const { nll, correctPerDepth } = supervision.loss(states, codes);
    if (nll.requiresGrad) accumulation.into.backward(nll.mul(accumulation.scale));
    return { nll: nll.detach(), correctPerDepth, gradient: states.grad };
  });
}

/** The embeddings of a frozen tokenizer's codes. */
export interface CodeEmbeddings {
  /** int64 (positions, D) -> (positions, D, codeDim): the sums of the embeddings up to each depth */
  embed(codes: Tensor): Tensor;
}

/** One head that predicts one kind of codes: semantic (ASVR) or appearance. */
export class CodeSupervision extends nn.Module implements VisualSupervision {
  readonly targets: readonly string[];

  constructor(
    target: string,
    readonly head: VisualHead,
    tokenizer: CodeEmbeddings,
  ) {
    super();
    this.targets = [target];
    this.#tokenizer = tokenizer;
  }

  // Private: the tokenizer is frozen and belongs to somebody else, so it is no part of this module's state.
  readonly #tokenizer: CodeEmbeddings;

  protected override get stateNames() {
    return { head: "" };
  }

  loss(hiddenStates: Tensor, codesByTarget: ReadonlyMap<string, Tensor>): VisionLoss {
    const codes = this.#codesOf(hiddenStates, codesByTarget);
    return tidy(() => reconstructionNll(this.head, hiddenStates, this.#embed(codes), codes));
  }

  accumulate(
    hiddenStates: Tensor,
    codesByTarget: ReadonlyMap<string, Tensor>,
    accumulation: Accumulation,
  ): AccumulatedVisionLoss {
    const codes = this.#codesOf(hiddenStates, codesByTarget);
    return tidy(() => accumulateReconstructionNll(this.head, hiddenStates, this.#embed(codes), codes, accumulation));
  }

  #embed(codes: Tensor): Tensor {
    return noGrad(() => this.#tokenizer.embed(codes));
  }

  #codesOf(hiddenStates: Tensor, codesByTarget: ReadonlyMap<string, Tensor>): Tensor {
    const codes = codesByTarget.get(this.targets[0]!)!;
    if (codes.size(0) === hiddenStates.size(0)) return codes;
    throw new ShapeError(
      `CodeSupervision: ${codes.size(0)} positions have ${this.targets[0]} codes, but ${hiddenStates.size(0)} have hidden ` +
        "states. Tokenizer and encoder must see the same grid: set both image sizes to the same number of patches.",
    );
  }
}

/** Two heads side by side, losses summed (Table 1, "appearance + semantic"). */
export class DualSupervision extends nn.Module implements VisualSupervision {
  readonly targets: readonly string[];

  constructor(
    readonly semantic: CodeSupervision,
    readonly appearance: CodeSupervision,
  ) {
    super();
    this.targets = [...semantic.targets, ...appearance.targets];
  }

  loss(hiddenStates: Tensor, codes: ReadonlyMap<string, Tensor>): VisionLoss {
    return tidy(() => {
      const [first, second] = [this.semantic.loss(hiddenStates, codes), this.appearance.loss(hiddenStates, codes)];
      return sum(first, second);
    });
  }

  accumulate(
    hiddenStates: Tensor,
    codes: ReadonlyMap<string, Tensor>,
    accumulation: Accumulation,
  ): AccumulatedVisionLoss {
    return tidy(() => {
      const first = this.semantic.accumulate(hiddenStates, codes, accumulation);
      const second = this.appearance.accumulate(hiddenStates, codes, accumulation);
      const gradient = first.gradient && second.gradient ? first.gradient.add_(second.gradient) : null;
      return { ...sum(first, second), gradient };
    });
  }
}

function sum(first: VisionLoss, second: VisionLoss): VisionLoss {
  return {
    nll: first.nll.add(second.nll),
    correctPerDepth: F.cat([first.correctPerDepth, second.correctPerDepth]),
  };
}
