import { type nn, type Tensor, tidy } from "@asvr/torch";
import { Sampler } from "../../data/loader.js";
import { type PackedBatch, packSamples } from "../../data/packing.js";
import type { Sample } from "../../data/samples.js";
import type { GradientSink } from "../../layers/gradient-sink.js";
import type { VisionLanguageModel } from "../../model/lvlm.js";
import { ContrastiveScale, sigmoidContrastiveLoss } from "../../vision/contrastive.js";
import type { SiglipVisionTower } from "../../vision/siglip.js";
import type { SiglipTextTower } from "../../vision/siglip-text.js";
import { accumulateLosses, type Objective, type StepLosses } from "../objective.js";
import { padTexts } from "./encoder.js";
import { indices } from "./pictures.js";

/** A whole picture: its captions, and the sample that has its full caption as the answer. */
export interface CaptionedPicture {
  picture: number;
  captions: readonly string[];
  sample: Sample;
}

interface PictureBatch {
  pictures: readonly CaptionedPicture[];
  packed: PackedBatch;
}

/** Tokens of the captions. The contrastive loss is a mean over the pictures of its batch, which is the whole step. */
type CaptionCounts = Readonly<Record<"tokens", number>>;

/** What is logged of a step of a training on whole pictures. */
export interface CaptioningMetrics {
  /** Contrastive loss, the sum over the kinds of captions. */
  contrastive: number;
  /** Captioning loss, nats a token. */
  captioning: number;
}

/**
 * Trains the encoder on whole pictures: sigmoid loss with each of the captions, plus a captioning loss through a small
 * decoder that reads all positions (as SigLIP 2 does). What a picture's vector may forget, a caption has to say: which
 * thing is where.
 */
export class CaptioningObjective implements Objective<PictureBatch, CaptionCounts> {
  readonly modules: Readonly<Record<string, nn.Module>>;
  readonly samplesPerStep: number;
  readonly #scale = new ContrastiveScale();
  readonly #sampler: Sampler;

  constructor(
    readonly networks: { vision: SiglipVisionTower; text: SiglipTextTower; captioner: VisionLanguageModel },
    readonly data: {
      pictures: readonly CaptionedPicture[];
      /** (pictures, positions, patchDim) */
      patches: Tensor;
      encodeText: (text: string) => readonly number[];
    },
    readonly options: { batchSize: number; captioningWeight: number; seed: number; device: string },
  ) {
    this.modules = { ...networks, scale: this.#scale };
    this.samplesPerStep = options.batchSize;
    this.#sampler = new Sampler({ itemCount: data.pictures.length, batchSize: options.batchSize, seed: options.seed });
  }

  *trainable(): Iterable<readonly [string, Tensor]> {
    for (const [name, module] of Object.entries(this.modules)) {
      for (const [parameter, value] of module.namedParameters()) yield [`${name}.${parameter}`, value];
    }
  }

  batches(step: number): PictureBatch[] {
    const pictures = this.#sampler.at(step).map(({ item }) => this.data.pictures[item]!);
    const samples = pictures.map(({ sample }) => sample);
    const imageTokens = this.data.patches.size(1);
    const capacity = Math.max(...samples.map(({ inputIds }) => inputIds.length)) + imageTokens;
    return [{ pictures, packed: packSamples(samples, { capacity, imageTokens, compact: true }) }];
  }

  counts(batches: readonly PictureBatch[]): CaptionCounts {
    return { tokens: batches.reduce((sum, { packed }) => sum + packed.targets.ids.length, 0) };
  }

  losses({ pictures, packed }: PictureBatch, counts: CaptionCounts): StepLosses<CaptioningMetrics> {
    const { device, captioningWeight } = this.options;
    const { vision, text, captioner } = this.networks;
    const { patches } = this.data;
    const [, positions] = patches.shape as [number, number, number];
    const chosen = patches.indexSelect(
      0,
      indices(
        pictures.map(({ picture }) => picture),
        patches.device,
      ),
    );
    const at = indices(
      Array.from({ length: positions }, (_, i) => i),
      device,
    )
      .unsqueeze(0)
      .expand([pictures.length, -1]);
    const { lastHiddenState, pooled } = vision.forwardPatches(chosen, at);

    const kinds = pictures[0]!.captions.length;
    const contrastive = Array.from({ length: kinds }, (_, kind) => {
      const { inputIds, mask } = padTexts(
        pictures.map(({ captions }) => this.data.encodeText(captions[kind]!)),
        device,
      );
      return sigmoidContrastiveLoss(this.#scale.forward(text.forward(inputIds, mask).pooled, pooled!));
    }).reduce((sum, loss) => sum.add(loss));
    // Packing may put pictures in another order.
    const rowOf = new Map(pictures.map(({ sample }, row) => [sample.image!.key, row]));
    const order = indices(
      packed.images.map(({ ref }) => rowOf.get(ref.key)!),
      device,
    );
    const { textNll } = captioner.losses(packed, {
      features: lastHiddenState.indexSelect(0, order),
      codes: new Map(),
    });
    const captioning = textNll.div(counts.tokens);
    return {
      total: tidy(() => contrastive.add(captioning.mul(captioningWeight))),
      metrics: { contrastive, captioning },
    };
  }

  accumulate(batch: PictureBatch, counts: CaptionCounts, into: GradientSink): StepLosses<CaptioningMetrics> {
    return accumulateLosses(this.losses(batch, counts), into);
  }

  describe({ packed }: PictureBatch): string {
    return `pictures ${packed.sampleIds.slice(0, 20).join(", ")}`;
  }
}
