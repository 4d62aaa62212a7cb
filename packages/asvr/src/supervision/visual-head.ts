import { F, nn, ShapeError, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { Projector } from "../layers/projector.js";

/** Sizes of the visual head. The paper's: hiddenSize of the LLM, embedDim 2048, headDim 128, 3 layers, 8 × 16384 codes. */
export interface VisualHeadConfig {
  hiddenSize: number;
  embedDim: number;
  headDim: number;
  layers: number;
  depth: number;
  codebookSize: number;
  codeDim: number;
}

/** Attention over depth, packed as torch's MultiheadAttention keeps it. */
class DepthAttention extends nn.Module {
  readonly inProjWeight: Tensor;
  readonly inProjBias: Tensor;
  readonly outProj: nn.Linear;

  constructor(
    readonly embedDim: number,
    readonly headDim: number,
  ) {
    super();
    const bound = Math.sqrt(6 / (4 * embedDim)); // Xavier over the packed matrix
    this.inProjWeight = nn.parameter([3 * embedDim, embedDim], (weight) => void weight.uniform_(-bound, bound));
    this.inProjBias = nn.parameter([3 * embedDim], (bias) => void bias.zero_());
    this.outProj = new nn.Linear(embedDim, embedDim);
  }

  /** (rows, D, embedDim) -> same; a depth sees the depths before it and itself */
  forward(x: Tensor): Tensor {
    const [rows, depth] = x.shape as [number, number, number];
    const qkv = nn.linear(x, this.inProjWeight, this.inProjBias).view([rows, depth, 3, -1, this.headDim]);
    const [query, key, value] = qkv.permute([2, 0, 3, 1, 4]).unbind(0) as [Tensor, Tensor, Tensor];
    return this.outProj.forward(nn.mergeHeads(nn.attend(query, key, value, { causal: true })));
  }
}

/**
 * One layer of the depth transformer, as the authors wrote it: the feed-forward has its own matrices at every depth,
 * does not mix depths, and its residual is the *normalised* input, not the sum before it. The unused biases of the
 * released checkpoint (`linear1.bias`, `linear2.bias`) have no place here.
 */
class DepthLayer extends nn.Module {
  readonly selfAttention: DepthAttention;
  readonly layernorm1: nn.RMSNorm;
  readonly layernorm2: nn.RMSNorm;
  /** (2·embedDim, D·embedDim): for depth d, columns [d·embedDim, (d+1)·embedDim) */
  readonly linear1: DepthwiseLinear;
  /** (embedDim, D·2·embedDim) */
  readonly linear2: DepthwiseLinear;

  constructor({ embedDim, headDim, depth }: VisualHeadConfig) {
    super();
    this.selfAttention = new DepthAttention(embedDim, headDim);
    this.layernorm1 = new nn.RMSNorm(embedDim);
    this.layernorm2 = new nn.RMSNorm(embedDim);
    this.linear1 = new DepthwiseLinear(embedDim, 2 * embedDim, depth);
    this.linear2 = new DepthwiseLinear(2 * embedDim, embedDim, depth);
  }

  forward(x: Tensor): Tensor {
    const attended = x.add(this.selfAttention.forward(this.layernorm1.forward(x)));
    const normed = this.layernorm2.forward(attended);
    const hidden = this.linear1.forward(normed.transpose(0, 1)).gelu(); // (D, rows, 2·embedDim)
    return normed.add(this.linear2.forward(hidden).transpose(0, 1));
  }
}

/** A linear map of its own for each depth. (D, rows, inFeatures) -> (D, rows, outFeatures) */
class DepthwiseLinear extends nn.Module {
  readonly weight: Tensor;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    readonly depth: number,
  ) {
    super();
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = nn.parameter([outFeatures, depth * inFeatures], (weight) => void weight.uniform_(-bound, bound));
  }

  forward(x: Tensor): Tensor {
    // (out, D, in) -> (D, in, out)
    return nn.batchedProduct(x, this.weight.view([this.outFeatures, this.depth, this.inFeatures]).permute([1, 2, 0]));
  }
}

class DepthTransformer extends nn.Module {
  readonly inMlp1: nn.Linear;
  readonly headTransformer: DepthLayer[];
  readonly headnorm: nn.RMSNorm;
  readonly heads: nn.Linear[];

  constructor(config: VisualHeadConfig) {
    super();
    this.inMlp1 = new nn.Linear(config.codeDim, config.embedDim);
    this.headTransformer = Array.from({ length: config.layers }, () => new DepthLayer(config));
    this.headnorm = new nn.RMSNorm(config.embedDim);
    this.heads = Array.from({ length: config.depth }, () => new nn.Linear(config.embedDim, config.codebookSize));
  }

  protected override get stateNames() {
    return { inMlp1: "in_mlp_1" };
  }
}

/**
 * The visual head: predicts an image position's residual codes, one depth after the other, from the language model's
 * hidden state there (paper Sec. 3.3; wiring from the authors' code). Teacher-forced in training.
 */
export class VisualHead extends nn.Module {
  readonly projector: Projector;
  readonly depthTransformer: DepthTransformer;

  constructor(readonly config: VisualHeadConfig) {
    super();
    if (config.embedDim % config.headDim !== 0) {
      throw new ConfigError(`visual head: embedDim ${config.embedDim} must be a multiple of headDim ${config.headDim}`);
    }
    this.projector = new Projector(config.hiddenSize, config.embedDim);
    this.depthTransformer = new DepthTransformer(config);
  }

  protected override get stateNames() {
    return { depthTransformer: "rqtransformer_semantic" };
  }

  /**
   * What the classifiers read at every depth.
   * @param hiddenStates (rows, hiddenSize)
   * @param cumulative (rows, D, codeDim): sums of the codes' embeddings up to each depth; the last is not read
   * @returns (rows, D, embedDim)
   */
  features(hiddenStates: Tensor, cumulative: Tensor): Tensor {
    const { depth, codeDim } = this.config;
    const rows = hiddenStates.size(0);
    if (cumulative.shape.join() !== [rows, depth, codeDim].join()) {
      throw new ShapeError(
        `VisualHead: the code embeddings are (${cumulative.shape.join(", ")}), expected (${rows}, ${depth}, ${codeDim}): ` +
          "as many positions as hidden states, and the depth and code width of the head's configuration",
      );
    }
    return tidy(() => {
      const start = this.projector.forward(hiddenStates).unsqueeze(1);
      const before = this.depthTransformer.inMlp1.forward(cumulative.narrow(1, 0, depth - 1));
      let x = F.cat([start, before], 1);
      for (const layer of this.depthTransformer.headTransformer) x = layer.forward(x);
      return this.depthTransformer.headnorm.forward(x);
    });
  }

  /** Logits of one depth. (rows, embedDim) -> (rows, codebookSize) */
  logitsAt(depth: number, features: Tensor): Tensor {
    return this.depthTransformer.heads[depth]!.forward(features);
  }

  /** All logits, (rows, D, codebookSize). For training use `reconstructionNll`, which never holds them whole. */
  forward(hiddenStates: Tensor, cumulative: Tensor): Tensor {
    return tidy(() => {
      const features = this.features(hiddenStates, cumulative).unbind(1);
      return F.stack(
        features.map((x, depth) => this.logitsAt(depth, x)),
        1,
      );
    });
  }
}
