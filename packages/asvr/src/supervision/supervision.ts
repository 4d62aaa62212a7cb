import { F, nn, noGrad, ShapeError, type Tensor, tidy } from "@asvr/torch";
import { reconstructionNll, type VisionLoss } from "./reconstruction.js";
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
   * @param scale what the caller multiplies the loss with before `backward`, where that is known (`linearNll` says why)
   */
  loss(hiddenStates: Tensor, codes: ReadonlyMap<string, Tensor>, scale?: number): VisionLoss;
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

  loss(hiddenStates: Tensor, codesByTarget: ReadonlyMap<string, Tensor>, scale?: number): VisionLoss {
    const codes = codesByTarget.get(this.targets[0]!)!;
    if (codes.size(0) !== hiddenStates.size(0)) {
      throw new ShapeError(
        `CodeSupervision: ${codes.size(0)} positions have ${this.targets[0]} codes, but ${hiddenStates.size(0)} have hidden ` +
          "states. Tokenizer and encoder must see the same grid: set both image sizes to the same number of patches.",
      );
    }
    return tidy(() => {
      const cumulative = noGrad(() => this.#tokenizer.embed(codes));
      return reconstructionNll(this.head, hiddenStates, cumulative, codes, { scale });
    });
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

  loss(hiddenStates: Tensor, codes: ReadonlyMap<string, Tensor>, scale?: number): VisionLoss {
    return tidy(() => {
      const first = this.semantic.loss(hiddenStates, codes, scale);
      const second = this.appearance.loss(hiddenStates, codes, scale);
      return {
        nll: first.nll.add(second.nll),
        correctPerDepth: F.cat([first.correctPerDepth, second.correctPerDepth]),
      };
    });
  }
}
