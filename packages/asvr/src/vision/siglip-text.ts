import { nn, ShapeError, type Tensor } from "@asvr/torch";
import { SiglipEncoder, type SiglipEncoderConfig } from "./siglip-encoder.js";

export interface SiglipTextConfig extends SiglipEncoderConfig {
  readonly vocabularySize: number;
  /** max_position_embeddings: the longest text, in tokens. */
  readonly maxTokens: number;
  /** Width of the text's vector; default `dim`. */
  readonly projectionDim?: number;
  /**
   * Which state becomes the text's vector: the last position, as in published checkpoints, whose texts are padded to
   * one length; or the mean over the tokens that the mask shows, for texts of several lengths.
   */
  readonly readout: "last-position" | "mean";
}

export interface SiglipTextOutput {
  /** After the final norm, (batch, tokens, dim). */
  readonly lastHiddenState: Tensor;
  /** (batch, projectionDim) */
  readonly pooled: Tensor;
}

/**
 * SigLIP's text tower (Zhai et al., 2023): bidirectional, and without a mask pads take part like words, which is how
 * the published checkpoints were trained. Checkpoint names begin with `text_model.`, which is a prefix for `load`.
 */
export class SiglipTextTower extends nn.Module {
  readonly embeddings: SiglipTextEmbeddings;
  readonly encoder: SiglipEncoder;
  readonly finalLayerNorm: nn.LayerNorm;
  readonly head: nn.Linear;

  constructor(readonly config: SiglipTextConfig) {
    super();
    this.embeddings = new SiglipTextEmbeddings(config);
    this.encoder = new SiglipEncoder(config);
    this.finalLayerNorm = new nn.LayerNorm(config.dim, config.epsilon ?? 1e-6);
    this.head = new nn.Linear(config.dim, config.projectionDim ?? config.dim);
  }

  /**
   * @param inputIds (batch, tokens), int64, at most `maxTokens` tokens
   * @param attentionMask (batch, tokens), bool, true for words; every text needs one. Without it pads are words too.
   * @throws ShapeError for texts that are too long, or a mask of another shape
   */
  forward(inputIds: Tensor, attentionMask?: Tensor): SiglipTextOutput {
    if (attentionMask && attentionMask.shape.join() !== inputIds.shape.join()) {
      throw new ShapeError(
        `SigLIP text: attentionMask is (${attentionMask.shape.join(", ")}) but inputIds is (${inputIds.shape.join(", ")})`,
      );
    }
    const mask = attentionMask?.unsqueeze(1).unsqueeze(1); // (batch, 1, 1, tokens): no query sees a pad
    const hiddenState = this.encoder.forward(this.embeddings.forward(inputIds), { mask });
    const lastHiddenState = this.finalLayerNorm.forward(hiddenState);
    return { lastHiddenState, pooled: this.head.forward(this.#read(lastHiddenState, attentionMask)) };
  }

  /** (batch, tokens, dim) -> (batch, dim) */
  #read(lastHiddenState: Tensor, attentionMask: Tensor | undefined): Tensor {
    if (this.config.readout === "last-position") return lastHiddenState.select(1, -1);
    if (!attentionMask) return lastHiddenState.mean(1);
    const weights = attentionMask.to(lastHiddenState.dtype).unsqueeze(-1); // (batch, tokens, 1)
    return lastHiddenState.mul(weights).sum(1).div(weights.sum(1));
  }
}

export class SiglipTextEmbeddings extends nn.Module {
  readonly tokenEmbedding: nn.Embedding;
  readonly positionEmbedding: nn.Embedding;
  readonly #maxTokens: number;

  constructor({ dim, vocabularySize, maxTokens }: SiglipTextConfig) {
    super();
    this.#maxTokens = maxTokens;
    this.tokenEmbedding = new nn.Embedding(vocabularySize, dim);
    this.positionEmbedding = new nn.Embedding(maxTokens, dim, { standardDeviation: 0.02 });
  }

  /** (batch, tokens) -> (batch, tokens, dim) */
  forward(inputIds: Tensor): Tensor {
    const tokens = inputIds.shape[1] ?? 0;
    if (inputIds.shape.length !== 2 || tokens > this.#maxTokens) {
      throw new ShapeError(
        `SigLIP text: inputIds is (${inputIds.shape.join(", ")}), expected (batch, at most ${this.#maxTokens} tokens)`,
      );
    }
    return this.tokenEmbedding.forward(inputIds).add(this.positionEmbedding.weight.narrow(0, 0, tokens));
  }
}
