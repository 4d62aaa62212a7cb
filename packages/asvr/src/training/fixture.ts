import { F, manualSeed, setThreads, type Tensor } from "@asvr/torch";
import type { PackedBatch } from "../data/packing.js";
import type { GradientSink } from "../layers/gradient-sink.js";
import { TinyModel, tiny, tinySample, tinyVisuals } from "../model/fixture.js";
import type { LossCounts } from "../model/lvlm.js";
import { Random } from "../random.js";
import type { StepLosses } from "./objective.js";
import { type VisionLanguageMetrics, VisionLanguageObjective } from "./objectives/vision-language.js";
import { type TrainOptions, train } from "./trainer.js";

const keys = ["cat", "dog", "owl", "bat", "elk"];

/**
 * A real objective, small: a vision-language model on random pictures and questions, two micro-batches a step. It also
 * draws from libtorch's generator, whose state a checkpoint must therefore keep. The same in every process.
 */
export class TinyObjective extends VisionLanguageObjective {
  readonly #network: TinyModel;

  /** @param onStep is called at the start of every step */
  constructor(readonly onStep: (step: number) => void = () => {}) {
    manualSeed(1);
    const network = new TinyModel();
    const random = new Random(2);
    const samples = Array.from({ length: 12 }, (_, index) => {
      const words = Array.from({ length: 3 + random.int(4) }, () => 3 + random.int(tiny.vocabSize - 3));
      return tinySample(`s${index}`, [1, "image", ...words], { key: keys[index % keys.length]!, learnedFrom: 4 });
    });
    super(network.model, {
      samples,
      visual: tinyVisuals(keys),
      trainable: ["projector", "visualHead", "language"],
      batchSize: 2,
      samplesPerImage: 2,
      supervised: true,
      visionWeight: 1,
      imageTokens: tiny.positions,
      seed: 3,
    });
    this.#network = network;
  }

  override batches(step: number): PackedBatch[] {
    this.onStep(step);
    return [...super.batches(2 * step), ...super.batches(2 * step + 1)];
  }

  override losses(batch: PackedBatch, counts: LossCounts): StepLosses<VisionLanguageMetrics> {
    const losses = super.losses(batch, counts);
    return { ...losses, total: losses.total.add(this.#noise()) };
  }

  override accumulate(batch: PackedBatch, counts: LossCounts, into: GradientSink): StepLosses<VisionLanguageMetrics> {
    const losses = super.accumulate(batch, counts, into);
    const noise = this.#noise();
    into.backward(noise);
    return { ...losses, total: losses.total.add(noise.detach()) };
  }

  #noise(): Tensor {
    const [weight] = this.model.projector.parameters();
    return weight!.sum().mul(F.rand([]).mul(1e-2));
  }

  [Symbol.dispose](): void {
    this.#network[Symbol.dispose]();
    this.options.visual!.dispose();
  }
}

export function tinyTraining(folder: string, changes: Partial<TrainOptions> = {}): TrainOptions {
  return {
    folder,
    stage: "tuning",
    stageNumber: 1,
    steps: 14,
    learningRate: 3e-3,
    warmupRatio: 0.1,
    betas: [0.9, 0.98],
    weightDecay: 0.01,
    maxGradNorm: 1,
    seed: 4,
    logEvery: 1,
    saveEverySeconds: Number.POSITIVE_INFINITY,
    ...changes,
  };
}

/** A whole run as a process of its own makes it: it says every step that it begins. */
export async function trainAndTell(folder: string, saveEverySeconds: number): Promise<void> {
  setThreads(1);
  using objective = new TinyObjective((step) => process.stdout.write(`${step}\n`));
  await train(objective, tinyTraining(folder, { saveEverySeconds }));
}
