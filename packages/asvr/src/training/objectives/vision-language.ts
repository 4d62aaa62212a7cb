import type { nn, Tensor } from "@asvr/torch";
import { chooseMembers, groupByImage, Sampler } from "../../data/loader.js";
import { type PackedBatch, packSamples, planRows } from "../../data/packing.js";
import type { Sample } from "../../data/samples.js";
import type { GradientSink } from "../../layers/gradient-sink.js";
import {
  type LossCounts,
  type Losses,
  lossScales,
  totalLoss,
  type VisionLanguageModel,
  type VisualBatch,
} from "../../model/lvlm.js";
import type { VisualCache } from "../../model/visual-cache.js";
import type { Objective, StepLosses } from "../objective.js";

export interface VisionLanguageOptions {
  samples: readonly Sample[];
  /** Features and codes of the pictures; null for text alone. */
  visual: VisualCache | null;
  /** Which of the parts learn; the rest is frozen by `freezeAllBut`. */
  trainable: readonly ("projector" | "visualHead" | "language")[];
  /** Pictures (or text-only samples) of an optimizer step. */
  batchSize: number;
  /** At most so many samples of a picture in a step. */
  samplesPerImage: number;
  /** Whether L_vision counts. */
  supervised: boolean;
  visionWeight: number;
  imageTokens: number;
  seed: number;
}

/** What is logged of a step of a vision-language model, or of a language model alone. */
export interface VisionLanguageMetrics {
  /** Nats a token. */
  textLoss: number;
  /** Share of supervised tokens whose most likely prediction is right. */
  textAccuracy: number;
  /** Nats a code; absent where the stage is not supervised. */
  visionLoss?: number;
  /** By depth, the share of codes whose most likely prediction is right; of two heads, one after the other. */
  codeAccuracy?: number[];
}

/** Trains the vision-language model, or, on samples without pictures, its language model alone. */
export class VisionLanguageObjective implements Objective<PackedBatch, LossCounts> {
  readonly modules: Readonly<Record<string, nn.Module>>;
  readonly samplesPerStep: number;
  readonly #groups: number[][];
  readonly #sampler: Sampler;

  constructor(
    readonly model: VisionLanguageModel,
    readonly options: VisionLanguageOptions,
  ) {
    this.modules = { model };
    this.samplesPerStep = options.batchSize;
    this.#groups = groupSamples(options.samples);
    this.#sampler = new Sampler({ itemCount: this.#groups.length, batchSize: options.batchSize, seed: options.seed });
    freezeAllBut(model, this.#trainableModules());
  }

  *trainable(): Iterable<readonly [string, Tensor]> {
    for (const [name, module] of this.#trainableModules()) {
      for (const [parameter, tensor] of module.namedParameters()) yield [`${name}.${parameter}`, tensor];
    }
  }

  batches(step: number): PackedBatch[] {
    const { samples, samplesPerImage: count, seed, imageTokens } = this.options;
    const chosen = this.#sampler
      .at(step)
      .map(({ item, epoch }) =>
        chooseMembers(this.#groups[item]!, { item, epoch, count, seed }).map((member) => samples[member]!),
      );
    // A row a picture: rows of nearly one length waste little, and the mask stays small.
    const capacity = Math.max(...chosen.map((group) => packedLength(group, imageTokens)));
    return [packSamples(chosen.flat(), { capacity, imageTokens, compact: true })];
  }

  counts(batches: readonly PackedBatch[]): LossCounts {
    const tokensOf = ({ images }: PackedBatch) => images.reduce((tokens, { length }) => tokens + length, 0);
    return {
      text: batches.reduce((sum, { targets }) => sum + targets.ids.length, 0),
      vision: batches.reduce((sum, batch) => sum + tokensOf(batch), 0),
    };
  }

  losses(batch: PackedBatch, counts: LossCounts): StepLosses<VisionLanguageMetrics> {
    const { supervised } = this.options;
    return this.#divided(this.model.losses(batch, this.#pictures(batch), { supervised }), counts);
  }

  accumulate(batch: PackedBatch, counts: LossCounts, into: GradientSink): StepLosses<VisionLanguageMetrics> {
    const { supervised, visionWeight } = this.options;
    const scales = lossScales(counts, visionWeight);
    return this.#divided(this.model.accumulate(batch, this.#pictures(batch), { supervised, scales, into }), counts);
  }

  #pictures({ images }: PackedBatch): VisualBatch | null {
    const { visual } = this.options;
    return visual && images.length > 0 ? visual.batch(images.map(({ ref }) => ref.key)) : null;
  }

  #divided(losses: Losses, counts: LossCounts): StepLosses<VisionLanguageMetrics> {
    const { total, textLoss, visionLoss } = totalLoss(losses, counts, this.options.visionWeight);
    const metrics = { textLoss, textAccuracy: losses.textCorrect.div(counts.text) };
    if (!losses.codesCorrect) return { total, metrics };
    return { total, metrics: { ...metrics, visionLoss, codeAccuracy: losses.codesCorrect.div(counts.vision) } };
  }

  describe({ sampleIds }: PackedBatch): string {
    return `samples ${sampleIds.slice(0, 20).join(", ")}${sampleIds.length > 20 ? ", …" : ""}`;
  }

  #trainableModules(): [string, nn.Module][] {
    const { projector, language, supervision } = this.model;
    const parts = { projector, language, visualHead: this.options.supervised ? supervision : null };
    return this.options.trainable.flatMap((name) => (parts[name] ? [[name, parts[name]] as [string, nn.Module]] : []));
  }
}

/** No gradient is computed for what does not learn. */
function freezeAllBut(model: VisionLanguageModel, trainable: readonly [string, nn.Module][]): void {
  model.setTrainable(false);
  for (const [, module] of trainable) module.setTrainable(true);
}

/** Samples of one picture, or of one text that is their shared prefix, are one item of a step. */
function groupSamples(samples: readonly Sample[]): number[][] {
  const [first] = samples;
  if (first?.image || first?.prefixLength === undefined) return groupByImage(samples);
  const groups = new Map<string, number[]>();
  for (const [index, { inputIds, prefixLength }] of samples.entries()) {
    const key = inputIds.subarray(0, prefixLength).join();
    const group = groups.get(key);
    if (group) group.push(index);
    else groups.set(key, [index]);
  }
  return [...groups.values()];
}

function packedLength(group: readonly Sample[], imageTokens: number): number {
  const [row] = planRows(group, { capacity: Number.MAX_SAFE_INTEGER, imageTokens, compact: true });
  return row!.length;
}
