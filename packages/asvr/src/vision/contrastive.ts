import { F, nn, ShapeError, type Tensor } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { type SiglipVisionConfig, SiglipVisionTower } from "./siglip.js";
import { type SiglipTextConfig, SiglipTextTower } from "./siglip-text.js";

/**
 * Pairwise sigmoid loss (Zhai et al., 2023, Algorithm 1): every pair of a text and a picture is a yes-no question.
 * @param logits (texts, pictures)
 * @param positives (texts, pictures), bool: which texts are true of which pictures; default the diagonal. A text may be
 *   true of several pictures and a picture have several true texts.
 * @returns scalar: summed over pictures, averaged over texts
 * @throws ShapeError when the two disagree, or when there is no `positives` and the logits are not square
 */
export function sigmoidContrastiveLoss(logits: Tensor, positives?: Tensor): Tensor {
  const [texts, pictures] = logits.shape as [number, number];
  if (positives ? positives.shape.join() !== logits.shape.join() : texts !== pictures) {
    throw new ShapeError(
      `sigmoidContrastiveLoss: logits is (${logits.shape.join(", ")}) ` +
        (positives
          ? `but positives is (${positives.shape.join(", ")})`
          : "and without `positives` text i belongs to picture i: there must be as many texts as pictures"),
    );
  }
  const isTrue = positives?.to(logits.dtype) ?? F.eye(texts, logits.dtype, logits.device);
  return logits.mul(isTrue.mul(2).sub(1)).logSigmoid().sum().div(-texts);
}

/** The learned temperature and bias that turn cosines into logits; `logit_scale` is a logarithm. */
export class ContrastiveScale extends nn.Module {
  readonly logitScale: Tensor;
  readonly logitBias: Tensor;

  /** Starts at the paper's values: a temperature of 10 and a bias of -10. */
  constructor({ temperature = 10, bias = -10 }: { temperature?: number; bias?: number } = {}) {
    super();
    this.logitScale = nn.parameter([1], (scale) => void scale.fill_(Math.log(temperature)));
    this.logitBias = nn.parameter([1], (value) => void value.fill_(bias));
  }

  /** Vectors of any length, (texts, dim) and (pictures, dim) -> (texts, pictures) */
  forward(texts: Tensor, pictures: Tensor): Tensor {
    const cosines = normalise(texts).mm(normalise(pictures).t());
    return cosines.mul(this.logitScale.exp()).add(this.logitBias);
  }
}

/** To unit length over the last dimension. */
export function normalise(vectors: Tensor): Tensor {
  return vectors.div(vectors.linalgVectorNorm(2, [-1], true));
}

/** Both towers as one model, with the names of a published checkpoint. */
export class Siglip extends nn.Module {
  readonly textModel: SiglipTextTower;
  readonly visionModel: SiglipVisionTower;
  readonly scale: ContrastiveScale;

  constructor(vision: SiglipVisionConfig, text: SiglipTextConfig) {
    super();
    this.textModel = new SiglipTextTower(text);
    this.visionModel = new SiglipVisionTower(vision);
    this.scale = new ContrastiveScale();
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { scale: "" };
  }

  /**
   * @param inputIds (texts, tokens), int64
   * @param pixelValues (pictures, 3, imageSize, imageSize)
   * @param attentionMask as in `SiglipTextTower.forward`
   * @returns logits (texts, pictures)
   * @throws ConfigError when the vision tower has no head
   */
  forward(inputIds: Tensor, pixelValues: Tensor, attentionMask?: Tensor): Tensor {
    const { pooled } = this.visionModel.forward(pixelValues);
    if (!pooled) throw new ConfigError('Siglip: the vision tower has no pooled output, since its head is "none"');
    return this.scale.forward(this.textModel.forward(inputIds, attentionMask).pooled, pooled);
  }
}
