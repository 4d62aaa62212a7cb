import { nn, type Tensor } from "@asvr/torch";

/** A learned factor for each channel, on what a branch adds (Touvron et al., 2021). (…, dim) -> same */
export class LayerScale extends nn.Module {
  /** (dim) */
  readonly lambda1: Tensor;

  constructor(dim: number) {
    super();
    this.lambda1 = nn.parameter([dim], (factors) => void factors.fill_(1));
  }

  forward(x: Tensor): Tensor {
    return x.mul(this.lambda1);
  }
}
