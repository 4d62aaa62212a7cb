import { nn, type Tensor } from "@asvr/torch";
import { type Gelu, gelu } from "./gelu.js";

export interface ProjectorOptions {
  /** Default: the exact GELU. */
  readonly activation?: Gelu;
  /** Whether both maps have one; default: yes. */
  readonly bias?: boolean;
}

/**
 * Linear, GELU, Linear: LLaVA's "mlp2x_gelu", from visual features to the language model's width (and, in the visual
 * head, from hidden states to the head's width). Checkpoint names `0.weight`, `2.weight`: of a sequence whose second
 * member is the activation.
 */
export class Projector extends nn.Module {
  readonly first: nn.Linear;
  readonly second: nn.Linear;

  readonly #activation: Gelu;

  constructor(inFeatures: number, outFeatures: number, { activation = "gelu", bias = true }: ProjectorOptions = {}) {
    super();
    this.#activation = activation;
    this.first = new nn.Linear(inFeatures, outFeatures, { bias });
    this.second = new nn.Linear(outFeatures, outFeatures, { bias });
  }

  protected override get stateNames() {
    return { first: "0", second: "2" };
  }

  /** (…, inFeatures) -> (…, outFeatures) */
  forward(features: Tensor): Tensor {
    return this.second.forward(gelu(this.first.forward(features), this.#activation));
  }
}
