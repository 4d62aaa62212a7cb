import type { Tensor } from "./tensor.js";

// The generated methods make tensors, and Tensor inherits the generated methods: the class is bound here when it is
// defined, so that the two modules may be imported in any order.
let tensorClass: new (handle: number) => Tensor;

export function bindTensorClass(constructed: new (handle: number) => Tensor): void {
  tensorClass = constructed;
}

export function toTensor(handle: number): Tensor {
  return new tensorClass(handle);
}
