import { F, nn, ShapeError, type Tensor, tidy, withGradients } from "@asvr/torch";
import type { PackedBatch } from "../data/packing.js";
import type { LlamaContext, LlamaForCausalLM } from "../language/llama.js";
import { accumulateLinearNll, type LinearNll, linearNll } from "../layers/chunked-loss.js";
import { allOrNone, type GradientSink, gradField } from "../layers/gradient-sink.js";
import type { Projector } from "../layers/projector.js";
import type { VisionLoss } from "../supervision/reconstruction.js";
import { type Alignment, accumulateSupervision, type VisualSupervision } from "../supervision/supervision.js";
import { type BatchTensors, batchTensors, readoutOf } from "./layout.js";

/** The pictures of a batch, in order: what the model reads of them, and what it is asked to reconstruct. */
export interface VisualBatch {
  /** (images, positions, visualDim): frozen features, or the embeddings of discrete codes */
  features: Tensor;
  /** int64 (images, positions, D) by target name */
  codes: ReadonlyMap<string, Tensor>;
}

export interface Losses {
  /** Sum of −log p(token) over the supervised tokens, a scalar in nats. */
  textNll: Tensor;
  textCount: number;
  textCorrect: Tensor;
  /** Sum over image positions of the mean over depths; absent without supervision or without pictures. */
  visionNll?: Tensor;
  visionCount: number;
  /** int64 (heads · D) */
  codesCorrect?: Tensor;
}

export interface LossOptions {
  /** Whether L_vision counts (Table 8: a stage without it). */
  supervised?: boolean;
}

export interface AccumulateOptions extends LossOptions {
  /** What the two likelihoods are multiplied with: `lossScales`. */
  scales: { text: number; vision: number };
  /** Default: the parameters' `.grad`. */
  into?: GradientSink;
}

/**
 * A LLaVA-style model: visual features through a projector into a causal language model, whose hidden states at the
 * image positions may also be supervised (paper Sec. 3). The encoder is frozen and stays outside: features arrive
 * ready, from the encoder, from a cache, or from discrete codes.
 */
export class VisionLanguageModel extends nn.Module {
  readonly language: LlamaForCausalLM;
  readonly projector: Projector;
  readonly supervision: VisualSupervision | null;

  constructor(
    parts: { language: LlamaForCausalLM; projector: Projector; supervision: VisualSupervision | null },
    readonly alignment: Alignment = "same",
  ) {
    super();
    this.language = parts.language;
    this.projector = parts.projector;
    this.supervision = parts.supervision;
  }

  /** Token embeddings with the projected features at the image positions: (rows, length, hiddenSize). */
  embed(batch: Pick<BatchTensors, "inputIds" | "imagePositions">, features: Tensor | null): Tensor {
    const embedded = this.language.embed(batch.inputIds);
    if (!features || features.size(0) === 0) return embedded;
    const [images, positions, visualDim] = features.shape as [number, number, number];
    if (images * positions !== batch.imagePositions.size(0)) {
      throw new ShapeError(
        `VisionLanguageModel: ${images} pictures with ${positions} features each do not fill the ` +
          `${batch.imagePositions.size(0)} image positions of the batch. Encoder grid and packing must agree.`,
      );
    }
    return tidy(() => {
      const projected = this.projector.forward(features.reshape([images * positions, visualDim]));
      const flat = embedded.reshape([-1, embedded.size(-1)]);
      return flat.indexCopy(0, batch.imagePositions, projected.to(flat.dtype)).view(embedded.shape);
    });
  }

  /** Hidden states after the final norm, (rows, length, hiddenSize), or those of `context.readout`. */
  hiddenStates(batch: BatchTensors, features: Tensor | null, context: LlamaContext = {}): Tensor {
    return tidy(() =>
      this.language.model.forward(this.embed(batch, features), {
        positions: batch.positions,
        mask: batch.mask,
        ...context,
      }),
    );
  }

  /**
   * Both negative log-likelihoods of a batch, undivided: the caller divides by the counts of the whole step, so that
   * splitting it into micro-batches or ranks changes nothing (Eq. 3 is their sum). Text-only rows add no vision loss.
   * Nothing is written: gradients come by `backward`.
   * @throws ConfigError with alignment "next" where a document begins with its picture
   */
  losses(batch: PackedBatch, visual: VisualBatch | null, options: LossOptions = {}): Losses {
    return tidy(() => {
      const { atTargets, targetIds, atImages, codes } = this.#states(batch, visual, options);
      const text = linearNll(atTargets, this.#outputMatrix, null, targetIds);
      return lossesOf(targetIds, text, atImages, atImages && this.supervision!.loss(atImages, codes));
    });
  }

  /**
   * `losses`, forward and backward in one: the gradients of scales.text · textNll + scales.vision · visionNll are added
   * to `into`. Those of the output matrix and of the visual head are taken as soon as their loss is known, so that
   * neither logits nor the head's states are kept. What it returns has no history.
   *
   * When it throws, it leaves no gradient of this model, of earlier batches neither: the step can't be made any more.
   * @throws ConfigError with alignment "next" where a document begins with its picture
   */
  accumulate(
    batch: PackedBatch,
    visual: VisualBatch | null,
    { scales, into = gradField, ...options }: AccumulateOptions,
  ): Losses {
    const take = () => {
      const { atTargets, targetIds, atImages, codes } = this.#states(batch, visual, options);
      const ofText = { scale: scales.text, into };
      const text = accumulateLinearNll(atTargets, this.#outputMatrix, null, targetIds, ofText);
      const ofVision = { scale: scales.vision, into };
      const vision = atImages && accumulateSupervision(this.supervision!, atImages, codes, ofVision);
      // Both go back through the language model at once.
      const [states, gradients] = vision
        ? [
            [atTargets, atImages],
            [text.gradient, vision.gradient],
          ]
        : [[atTargets], [text.gradient]];
      const joined = withGradients(text.nll, states, gradients);
      if (joined.requiresGrad) into.backward(joined);
      return lossesOf(targetIds, text, atImages, vision);
    };
    return allOrNone(into, this.parameters(), () => tidy(take));
  }

  /** The hidden states that losses are taken of, with what they are to predict; `atImages` is null without supervision. */
  #states(batch: PackedBatch, visual: VisualBatch | null, { supervised = true }: LossOptions) {
    const { device } = this;
    const hasVision = supervised && this.supervision !== null && visual !== null && visual.features.size(0) > 0;
    const { columns, ...read } = readoutOf(batch, hasVision ? this.alignment : null, device);
    const tensors = batchTensors(batch, device);
    const states = this.hiddenStates(tensors, visual?.features ?? null, { readout: columns }).flatten(0, 1);
    return {
      atTargets: states.indexSelect(0, read.targetStates),
      targetIds: read.targetIds,
      // Eq. 2: the states at the image positions ("same", the authors' code), or one before each ("next", as printed).
      atImages: hasVision ? states.indexSelect(0, read.imageStates!) : null,
      codes: hasVision ? flattened(visual.codes) : new Map<string, Tensor>(),
    };
  }

  get #outputMatrix(): Tensor {
    return this.language.lmHead?.weight ?? this.language.model.embedTokens.weight;
  }

  /** Where its weights are. */
  get device(): string {
    return this.language.model.embedTokens.weight.device;
  }

  /** Logits of the supervised positions, (targets, vocabSize). */
  logitsAt(states: Tensor, positions: Tensor): Tensor {
    return tidy(() => this.language.logits(states.view([-1, states.size(-1)]).indexSelect(0, positions)));
  }
}

function lossesOf(targetIds: Tensor, text: LinearNll, atImages: Tensor | null, vision: VisionLoss | null): Losses {
  const losses = { textNll: text.nll, textCorrect: text.correct, textCount: targetIds.size(0) };
  if (!atImages || !vision) return { ...losses, visionCount: 0 };
  return {
    ...losses,
    visionNll: vision.nll,
    codesCorrect: vision.correctPerDepth,
    visionCount: atImages.size(0),
  };
}

function flattened(codes: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map([...codes].map(([name, tensor]) => [name, tensor.flatten(0, 1)]));
}

/** What the losses of a step are divided by: its supervised tokens, and its image positions. */
export type LossCounts = Readonly<Record<"text" | "vision", number>>;

/** What `totalLoss` multiplies the two likelihoods with. */
export function lossScales(counts: LossCounts, visionWeight: number): { text: number; vision: number } {
  return { text: 1 / Math.max(1, counts.text), vision: visionWeight / Math.max(1, counts.vision) };
}

/** L = L_text + weight · L_vision (Eq. 3), each divided by its count in the whole step. */
export function totalLoss(
  { textNll, visionNll }: Losses,
  counts: LossCounts,
  visionWeight: number,
): { total: Tensor; textLoss: Tensor; visionLoss: Tensor } {
  const textLoss = textNll.div(Math.max(1, counts.text));
  const visionLoss = visionNll ? visionNll.div(Math.max(1, counts.vision)) : F.zeros([], "float32", textNll.device);
  return { total: textLoss.add(visionLoss.mul(visionWeight)), textLoss, visionLoss };
}
