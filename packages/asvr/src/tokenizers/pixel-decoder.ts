import { nn, ShapeError, type Tensor } from "@asvr/torch";
import { SiglipEncoder, type SiglipEncoderConfig } from "../vision/siglip-encoder.js";

export interface TransformerPixelDecoderConfig extends SiglipEncoderConfig {
  /** Width of the vectors that it decodes. */
  readonly inDim: number;
  /** Positions of a picture. */
  readonly positions: number;
  readonly patchSize: number;
}

/** A small transformer from quantized vectors to the pixels of their patches. */
export class TransformerPixelDecoder extends nn.Module {
  readonly up: nn.Linear;
  readonly positionEmbedding: nn.Embedding;
  readonly encoder: SiglipEncoder;
  readonly out: nn.Linear;

  constructor(readonly config: TransformerPixelDecoderConfig) {
    super();
    const { dim, inDim, positions, patchSize } = config;
    this.up = new nn.Linear(inDim, dim);
    this.positionEmbedding = new nn.Embedding(positions, dim, { standardDeviation: 0.02 });
    this.encoder = new SiglipEncoder(config);
    this.out = new nn.Linear(dim, 3 * patchSize * patchSize);
  }

  /**
   * @param quantized (batch, positions, inDim)
   * @returns (batch, positions, 3·patchSize²), pixels as `unfoldPatches` orders them
   * @throws ShapeError for another number of positions or width
   */
  forward(quantized: Tensor): Tensor {
    const { inDim, positions } = this.config;
    if (quantized.shape.length !== 3 || quantized.shape[1] !== positions || quantized.shape[2] !== inDim) {
      throw new ShapeError(
        `TransformerPixelDecoder: quantized is (${quantized.shape.join(", ")}), expected (batch, ${positions}, ${inDim})`,
      );
    }
    const embedded = this.up.forward(quantized).add(this.positionEmbedding.weight);
    return this.out.forward(this.encoder.forward(embedded));
  }
}
