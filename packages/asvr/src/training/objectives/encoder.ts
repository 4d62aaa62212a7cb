import { type nn, type Tensor, tensor } from "@asvr/torch";
import { Sampler } from "../../data/loader.js";
import type { GradientSink } from "../../layers/gradient-sink.js";
import { Random } from "../../random.js";
import { ContrastiveScale, sigmoidContrastiveLoss } from "../../vision/contrastive.js";
import type { SiglipTextTower } from "../../vision/siglip-text.js";
import { accumulateLosses, type Objective, type StepCounts, type StepLosses } from "../objective.js";
import { indices } from "./pictures.js";

/** A picture, or a region of one, and the captions that are true of it. */
export interface CaptionedView {
  /** Row of the patches tensor. */
  picture: number;
  /** Patches of the view, by position in the picture. */
  positions: readonly number[];
  captions: readonly string[];
}

interface ViewBatch {
  views: readonly CaptionedView[];
  /** The caption drawn for each view. */
  captions: readonly string[];
}

/** A network that turns some patches of pictures, each at its true position, into a vector a view. */
export interface ViewNetwork extends nn.Module {
  /** patches (views, k, patchDim), positionIds (views, k), int64; `loss` is added to the contrastive one */
  forwardPatches(patches: Tensor, positionIds: Tensor): { pooled: Tensor | null; loss?: Tensor };
}

/** What is logged of a step of a contrastive training. */
export interface ContrastiveMetrics {
  /** Share of the views whose most likely caption is true of them. */
  accuracy: number;
}

/**
 * Trains SigLIP's towers, or a tokenizer beside a text tower, on views with captions: sigmoid loss over every pair, where a caption counts as true of each
 * view that it describes, not only of its own. Views of one batch have the same number of patches, so that a single
 * object of a scene trains at its true position and at a quarter of the cost.
 */
export class ContrastiveObjective implements Objective<ViewBatch> {
  readonly modules: Readonly<Record<string, nn.Module>>;
  readonly samplesPerStep: number;
  readonly #scale = new ContrastiveScale();
  readonly #sampler: Sampler;

  constructor(
    readonly towers: { vision: ViewNetwork; text: SiglipTextTower },
    readonly data: {
      views: readonly CaptionedView[];
      /** (pictures, positions, patchDim) */
      patches: Tensor;
      encodeText: (text: string) => readonly number[];
    },
    readonly options: { batchSize: number; seed: number; device: string },
  ) {
    this.modules = { ...towers, scale: this.#scale };
    this.samplesPerStep = options.batchSize;
    this.#sampler = new Sampler({ itemCount: data.views.length, batchSize: options.batchSize, seed: options.seed });
  }

  *trainable(): Iterable<readonly [string, Tensor]> {
    for (const [name, module] of Object.entries(this.modules)) {
      for (const [parameter, value] of module.namedParameters()) {
        yield [`${name}.${parameter}`, value];
      }
    }
  }

  batches(step: number): ViewBatch[] {
    const random = new Random(this.options.seed).fork("captions").fork(step);
    const views = this.#sampler.at(step).map(({ item }) => this.data.views[item]!);
    return [{ views, captions: views.map(({ captions }) => random.pick(captions)) }];
  }

  /** None: the contrastive loss is a mean over the pairs of its batch, which is the whole step. */
  counts(): StepCounts {
    return {};
  }

  losses({ views, captions }: ViewBatch): StepLosses<ContrastiveMetrics> {
    const { device } = this.options;
    const { vision, text } = this.towers;
    const { pooled, loss } = vision.forwardPatches(...this.#patchesOf(views));
    const { inputIds, mask } = padTexts(captions.map(this.data.encodeText), device);
    const logits = this.#scale.forward(text.forward(inputIds, mask).pooled, pooled!);
    const positives = trueCaptions(captions, views, device);
    const contrastive = sigmoidContrastiveLoss(logits, positives);
    const total = loss ? contrastive.add(loss) : contrastive;
    const best = logits.detach().argmax(0, true); // for each view, its most likely caption
    const accuracy = positives.to("float32").gather(0, best).mean();
    return { total, metrics: { accuracy } };
  }

  accumulate(batch: ViewBatch, _: StepCounts, into: GradientSink): StepLosses<ContrastiveMetrics> {
    return accumulateLosses(this.losses(batch), into);
  }

  /** Patches (views, k, patchDim) of the views, and their positions (views, k). */
  #patchesOf(views: readonly CaptionedView[]): [Tensor, Tensor] {
    const { patches } = this.data;
    const [, positions, patchDim] = patches.shape as [number, number, number];
    const count = views[0]!.positions.length;
    const flat = views.flatMap((view) => view.positions.map((position) => view.picture * positions + position));
    const chosen = patches.view([-1, patchDim]).indexSelect(0, indices(flat, patches.device));
    const at = indices(
      views.flatMap((view) => view.positions),
      patches.device,
    );
    return [chosen.view([views.length, count, patchDim]), at.view([views.length, count])];
  }

  describe({ views }: ViewBatch): string {
    return `views of pictures ${views
      .slice(0, 20)
      .map(({ picture }) => picture)
      .join(", ")}`;
  }
}

/** Texts as one tensor: int64 (texts, longest), and bool, true at tokens. */
export function padTexts(texts: readonly (readonly number[])[], device: string): { inputIds: Tensor; mask: Tensor } {
  const longest = Math.max(...texts.map((ids) => ids.length));
  const inputIds = new Int32Array(texts.length * longest);
  const mask = new Uint8Array(texts.length * longest);
  for (const [row, ids] of texts.entries()) {
    inputIds.set(ids, row * longest);
    mask.fill(1, row * longest, row * longest + ids.length);
  }
  const shape = [texts.length, longest];
  return {
    inputIds: tensor(inputIds, { shape }).to({ dtype: "int64", device }),
    mask: tensor(mask, { shape }).to({ dtype: "bool", device }),
  };
}

/** bool (captions, views): whether a caption is among those that are true of a view. */
function trueCaptions(captions: readonly string[], views: readonly CaptionedView[], device: string): Tensor {
  const truth = new Uint8Array(captions.length * views.length);
  const columnsOf = new Map<string, number[]>();
  for (const [column, view] of views.entries()) {
    for (const caption of view.captions) {
      const columns = columnsOf.get(caption);
      if (columns) columns.push(column);
      else columnsOf.set(caption, [column]);
    }
  }
  for (const [row, caption] of captions.entries()) {
    for (const column of columnsOf.get(caption) ?? []) truth[row * views.length + column] = 1;
  }
  return tensor(truth, { shape: [captions.length, views.length] }).to({ dtype: "bool", device });
}
