import type { Tensor } from "@asvr/torch";

/**
 * Turns a picture into discrete codes, D for each position: what the visual head learns to predict (paper Sec. 3.2).
 * Frozen while a vision-language model trains; its codes are computed once and kept.
 */
export interface VisualTokenizer {
  /** D: codes for each position. */
  readonly depth: number;
  /** Codes in a codebook. */
  readonly codebookSize: number;
  /** Width of a code's vector. */
  readonly codeDim: number;
  /** pixelValues (batch, 3, height, width) -> codes (batch, positions, D), int64, without gradients */
  encode(pixelValues: Tensor): Tensor;
  /** codes (…, D) -> (…, D, codeDim), float32: the sums of the first 1 … D code vectors */
  embed(codes: Tensor): Tensor;
  /** All code vectors: (1, codebookSize, codeDim) if the depths share a codebook, else (D, …). A copy. */
  codebookTensor(): Tensor;
}

/** What a trainer needs of a network that learns from pictures alone. */
export interface PictureObjective {
  /** The tensors that gradients are taken for; empty where running averages do all the learning. */
  parameters(): Tensor[];
  /**
   * One training step's loss, a scalar; running averages move with the call. Where `parameters` is empty it has no
   * gradient, and `backward` must not be called.
   * @param pixelValues (batch, 3, height, width), normalised to [-1, 1]
   */
  loss(pixelValues: Tensor): Tensor;
}
