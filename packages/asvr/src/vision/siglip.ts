import { F, nn, ShapeError, type Tensor } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { SiglipEncoder, type SiglipEncoderConfig, SiglipMlp } from "./siglip-encoder.js";

export interface SiglipVisionConfig extends SiglipEncoderConfig {
  /** Side of the square pictures, in pixels. */
  readonly imageSize: number;
  readonly patchSize: number;
  /**
   * How a picture becomes one vector: the published towers' attention pooling; the mean over positions and a linear
   * map, which a tower of a few layers trains faster with; or not at all, for a tower that only gives features.
   */
  readonly head: "attention-pooling" | "mean" | "none";
}

export interface SiglipVisionOutput {
  /** The last layer's output after the final norm, (batch, positions, dim). */
  readonly lastHiddenState: Tensor;
  /** (batch, dim), or null for a tower without a head. */
  readonly pooled: Tensor | null;
}

/** What a tower needs as far as its hidden states: no norm after them, no head. */
export type SiglipTrunkConfig = Omit<SiglipVisionConfig, "head">;

/**
 * Embeddings and layers of SigLIP's vision tower, as far as features are taken from them. ASVR takes the hidden state of
 * index -2: the second-last layer's output, without the final norm (paper Sec. 4.1).
 */
export class SiglipTrunk extends nn.Module {
  readonly embeddings: SiglipVisionEmbeddings;
  readonly encoder: SiglipEncoder;

  /** @throws ConfigError when a picture has no whole patch, or the width is no multiple of the heads */
  constructor(readonly config: SiglipTrunkConfig) {
    super();
    this.embeddings = new SiglipVisionEmbeddings(config);
    this.encoder = new SiglipEncoder(config);
  }

  /** Whole patches of a picture. What lies beyond the last one is not read: 384 pixels are 27 patches of 14, and 6 more. */
  get positions(): number {
    return this.embeddings.positions;
  }

  /** Positions before the patches: it has no class token. */
  get prefixTokens(): number {
    return 0;
  }

  /**
   * One hidden state, computed no further than needed: 0 is the embeddings, k the output of layer k, and a negative
   * index counts from the end, so that -1 is the last layer's output (before the final norm).
   * @param pixelValues (batch, 3, imageSize, imageSize), the dtype and device of the weights
   * @returns (batch, positions, dim)
   * @throws ConfigError when there is no such layer; ShapeError for pictures of another size
   */
  hiddenState(pixelValues: Tensor, index: number): Tensor {
    return this.encoder.forward(this.embeddings.forward(pixelValues), { count: this.layerOf(index) });
  }

  /** `hiddenState` of some patches of a picture, as `SiglipVisionTower.forwardPatches` takes them. */
  hiddenStateOfPatches(patches: Tensor, positionIds: Tensor, index: number): Tensor {
    const embedded = this.embeddings.forwardPatches(patches, positionIds);
    return this.encoder.forward(embedded, { count: this.layerOf(index) });
  }

  /** Hidden states 0 to `last` (an index as in `hiddenState`), each (batch, positions, dim). */
  hiddenStates(pixelValues: Tensor, last = -1): Tensor[] {
    return this.encoder.hiddenStates(this.embeddings.forward(pixelValues), { count: this.layerOf(last) });
  }

  /** The number of layers before the hidden state of this index. @throws ConfigError when there is none */
  layerOf(index: number): number {
    return this.encoder.layerOf(index);
  }
}

/**
 * SigLIP's vision tower (Zhai et al., 2023; SigLIP 2 at a fixed resolution has the same one). Checkpoint names begin
 * with `vision_model.`, which is a prefix for `load`.
 */
export class SiglipVisionTower extends SiglipTrunk {
  readonly postLayernorm: nn.LayerNorm;
  readonly head: AttentionPoolingHead | MeanPoolingHead | null;

  /** @throws ConfigError when a picture has no whole patch, or the width is no multiple of the heads */
  constructor(override readonly config: SiglipVisionConfig) {
    super(config);
    this.postLayernorm = new nn.LayerNorm(config.dim, config.epsilon ?? 1e-6);
    this.head =
      config.head === "attention-pooling"
        ? new AttentionPoolingHead(config)
        : config.head === "mean"
          ? new MeanPoolingHead(config.dim)
          : null;
  }

  /**
   * @param pixelValues (batch, 3, imageSize, imageSize), the dtype and device of the weights
   * @throws ShapeError for pictures of another size
   */
  forward(pixelValues: Tensor): SiglipVisionOutput {
    return this.forwardFrom(this.embeddings.forward(pixelValues), 0);
  }

  /**
   * Encodes some patches of a picture as if nothing else were there, each at its true position.
   * @param patches (batch, k, 3·patchSize²), as `unfoldPatches` orders them
   * @param positionIds (batch, k), int64, each in [0, positions)
   * @returns outputs over the k patches
   * @throws ShapeError when the two disagree
   */
  forwardPatches(patches: Tensor, positionIds: Tensor): SiglipVisionOutput {
    return this.forwardFrom(this.embeddings.forwardPatches(patches, positionIds), 0);
  }

  /** What the layers after hidden state `index`, the final norm and the head make of it, or of what replaces it. */
  forwardFrom(hiddenState: Tensor, index: number): SiglipVisionOutput {
    const last = this.encoder.forward(hiddenState, { from: this.layerOf(index) });
    const lastHiddenState = this.postLayernorm.forward(last);
    return { lastHiddenState, pooled: this.head?.forward(lastHiddenState) ?? null };
  }
}

/** Patch embedding (a convolution whose stride is its kernel) plus learned positions. */
export class SiglipVisionEmbeddings extends nn.Module {
  readonly patchEmbedding: nn.Conv2d;
  readonly positionEmbedding: nn.Embedding;
  readonly positions: number;

  constructor(readonly config: Pick<SiglipVisionConfig, "dim" | "imageSize" | "patchSize">) {
    super();
    const { dim, imageSize, patchSize } = config;
    if (imageSize < patchSize) {
      throw new ConfigError(`SigLIP: an image size of ${imageSize} holds no patch of ${patchSize}`);
    }
    this.positions = Math.floor(imageSize / patchSize) ** 2;
    this.patchEmbedding = new nn.Conv2d(3, dim, patchSize, { stride: patchSize });
    this.positionEmbedding = new nn.Embedding(this.positions, dim, { standardDeviation: 0.02 });
  }

  /** pixelValues (batch, 3, imageSize, imageSize) -> (batch, positions, dim) */
  forward(pixelValues: Tensor): Tensor {
    const { imageSize } = this.config;
    const { shape } = pixelValues;
    if (shape.length !== 4 || shape[1] !== 3 || shape[2] !== imageSize || shape[3] !== imageSize) {
      throw new ShapeError(
        `SigLIP: pixelValues is (${shape.join(", ")}), this tower takes (batch, 3, ${imageSize}, ${imageSize})`,
      );
    }
    const patches = this.patchEmbedding.forward(pixelValues).flatten(2).transpose(1, 2); // (batch, positions, dim)
    return patches.add(this.positionEmbedding.weight);
  }

  /** patches (batch, k, 3·patchSize²), positionIds (batch, k) -> (batch, k, dim) */
  forwardPatches(patches: Tensor, positionIds: Tensor): Tensor {
    const { dim, patchSize } = this.config;
    const patchDim = 3 * patchSize * patchSize;
    const { shape } = patches;
    if (shape.length !== 3 || shape[2] !== patchDim || shape.slice(0, 2).join() !== positionIds.shape.join()) {
      throw new ShapeError(
        `SigLIP: patches is (${shape.join(", ")}) and positionIds is (${positionIds.shape.join(", ")}), ` +
          `expected (batch, k, ${patchDim}) and (batch, k)`,
      );
    }
    const { weight, bias } = this.patchEmbedding; // the same map, where the patches are cut out already
    return F.linear(patches, weight.view([dim, patchDim]), bias).add(this.positionEmbedding.forward(positionIds));
  }
}

/** A learned query attends to every position; a residual MLP follows. (batch, positions, dim) -> (batch, dim) */
export class AttentionPoolingHead extends nn.Module {
  readonly probe: Tensor;
  readonly attention: ProbeAttention;
  readonly layernorm: nn.LayerNorm;
  readonly mlp: SiglipMlp;

  constructor(config: SiglipEncoderConfig) {
    super();
    this.probe = nn.parameter([1, 1, config.dim], (probe) => void probe.normal_(0, 0.02));
    this.attention = new ProbeAttention(config.dim, config.heads);
    this.layernorm = new nn.LayerNorm(config.dim, config.epsilon ?? 1e-6);
    this.mlp = new SiglipMlp(config);
  }

  /** `mask` bool, true where a position may be seen, broadcast to (batch, heads, 1, positions) */
  forward(hiddenState: Tensor, mask?: Tensor): Tensor {
    const attended = this.attention.forward(this.probe.expand([hiddenState.size(0), 1, -1]), hiddenState, mask);
    return attended.add(this.mlp.forward(this.layernorm.forward(attended))).select(1, 0);
  }
}

/** Attention from queries to other states, with the packed input weights of torch.nn.MultiheadAttention. */
class ProbeAttention extends nn.Module {
  readonly inProjWeight: Tensor;
  readonly inProjBias: Tensor;
  readonly outProj: nn.Linear;

  constructor(
    readonly dim: number,
    readonly heads: number,
  ) {
    super();
    const bound = Math.sqrt(6 / (4 * dim)); // Xavier over the packed matrix, as MultiheadAttention has it
    this.inProjWeight = nn.parameter([3 * dim, dim], (weight) => void weight.uniform_(-bound, bound));
    this.inProjBias = nn.parameter([3 * dim], (bias) => void bias.zero_());
    this.outProj = new nn.Linear(dim, dim);
  }

  /** probe (batch, 1, dim), states (batch, tokens, dim), mask as `attend` has it -> (batch, 1, dim) */
  forward(probe: Tensor, states: Tensor, mask?: Tensor): Tensor {
    const { dim, heads } = this;
    const [queryWeight, stateWeight] = this.inProjWeight.splitWithSizes([dim, 2 * dim]) as [Tensor, Tensor];
    const [queryBias, stateBias] = this.inProjBias.splitWithSizes([dim, 2 * dim]) as [Tensor, Tensor];
    const query = nn.splitHeads(F.linear(probe, queryWeight, queryBias), heads);
    const [key, value] = F.linear(states, stateWeight, stateBias)
      .chunk(2, -1)
      .map((part) => nn.splitHeads(part, heads)) as [Tensor, Tensor];
    return this.outProj.forward(nn.mergeHeads(nn.attend(query, key, value, { mask })));
  }
}

/** The mean over positions, then a linear map. (batch, positions, dim) -> (batch, dim) */
export class MeanPoolingHead extends nn.Module {
  readonly projection: nn.Linear;

  constructor(dim: number) {
    super();
    this.projection = new nn.Linear(dim, dim);
  }

  forward(hiddenState: Tensor): Tensor {
    return this.projection.forward(hiddenState.mean(1));
  }
}
