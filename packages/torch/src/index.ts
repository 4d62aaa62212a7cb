/**
 * libtorch for TypeScript: tensors and operators, autograd, modules, optimizers, safetensors.
 * @module
 */
export { call } from "./call.js";
export type { DType, TypedArray } from "./dtype.js";
export * from "./errors.js";
export type { NestedNumbers } from "./nested-numbers.js";
export * as nn from "./nn/index.js";
export * as F from "./operators.generated.js";
export * as optim from "./optim/index.js";
export * from "./runtime.js";
export * from "./safetensors/index.js";
export { isRecording, keep, noGrad, tidy } from "./scope.js";
export { type Device, grad, Tensor, type TensorOptions, tensor, withGradients } from "./tensor.js";
export * from "./weights/index.js";
