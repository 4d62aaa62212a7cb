import { nn, type Tensor } from "@asvr/torch";

/**
 * Linear, GELU, Linear: LLaVA's "mlp2x_gelu", from visual features to the language model's width (and, in the visual
 * head, from hidden states to the head's width). Checkpoint names `0.weight`, `2.weight`: of a sequence whose second
 * member is the activation.
 */
export class Projector extends nn.Module {
  readonly first: nn.Linear;
  readonly second: nn.Linear;

  constructor(inFeatures: number, outFeatures: number) {
    super();
    this.first = new nn.Linear(inFeatures, outFeatures);
    this.second = new nn.Linear(outFeatures, outFeatures);
  }

  protected override get stateNames() {
    return { first: "0", second: "2" };
  }

  /** (…, inFeatures) -> (…, outFeatures) */
  forward(features: Tensor): Tensor {
    return this.second.forward(this.first.forward(features).gelu());
  }
}
