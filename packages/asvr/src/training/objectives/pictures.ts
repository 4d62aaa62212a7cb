import { type nn, type Tensor, tensor, tidy } from "@asvr/torch";
import { Sampler } from "../../data/loader.js";
import type { GradientSink } from "../../layers/gradient-sink.js";
import type { PictureObjective } from "../../tokenizers/visual-tokenizer.js";
import { accumulateLosses, type Objective, type StepCounts, type StepLosses } from "../objective.js";

/** Trains a visual tokenizer on pictures alone: the semantic or the appearance branch. */
export class PicturesObjective implements Objective<Int32Array> {
  readonly modules: Readonly<Record<string, nn.Module>>;
  readonly samplesPerStep: number;
  readonly #sampler: Sampler;

  constructor(
    readonly branch: nn.Module & PictureObjective,
    /** (pictures, 3, height, width), float32 */
    readonly pixelValues: Tensor,
    options: { batchSize: number; seed: number },
  ) {
    this.modules = { branch };
    this.samplesPerStep = options.batchSize;
    this.#sampler = new Sampler({ itemCount: pixelValues.size(0), ...options });
  }

  *trainable(): Iterable<readonly [string, Tensor]> {
    const learned = new Set(this.branch.parameters());
    for (const [name, parameter] of this.branch.namedParameters()) if (learned.has(parameter)) yield [name, parameter];
  }

  batches(step: number): Int32Array[] {
    return [Int32Array.from(this.#sampler.at(step), ({ item }) => item)];
  }

  /** None: the loss is a mean over the pictures of its batch, which is the whole step. */
  counts(): StepCounts {
    return {};
  }

  /** Running averages of the codebooks move with the call. */
  losses(pictures: Int32Array): StepLosses {
    const batch = tidy(() => this.pixelValues.indexSelect(0, indices(pictures, this.pixelValues.device)));
    return { total: this.branch.loss(batch), metrics: {} };
  }

  accumulate(pictures: Int32Array, _: StepCounts, into: GradientSink): StepLosses {
    return accumulateLosses(this.losses(pictures), into);
  }

  describe(pictures: Int32Array): string {
    return `pictures ${pictures.join(", ")}`;
  }
}

/** Whole numbers as an int64 tensor. */
export function indices(values: ArrayLike<number>, device: string): Tensor {
  return tidy(() => tensor(Int32Array.from(values)).to({ dtype: "int64", device }));
}
