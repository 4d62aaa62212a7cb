import { type Tensor, tidy } from "@asvr/torch";

/**
 * Where the gradients of parameters go. What takes gradients hands them to a sink and writes none itself, so that this
 * is the one place to change where a parameter keeps its gradient elsewhere.
 */
export interface GradientSink {
  /**
   * Adds the gradients of an output to those of the parameters that it came from, through its history.
   * @param gradient of the output; left out for a scalar. Leaves that are no parameters get theirs in `.grad`.
   */
  backward(output: Tensor, gradient?: Tensor): void;
  /** Adds scale · gradient to the gradient of a parameter; the tensor that was given is the sink's from here on. */
  add(parameter: Tensor, gradient: Tensor, scale: number): void;
  /** Adds scale · left · right to the gradient of a parameter: a product of matrices that need not be held beside it. */
  addProduct(parameter: Tensor, left: Tensor, right: Tensor, scale: number): void;
  /** Drops the gradient of a parameter. */
  drop(parameter: Tensor): void;
}

/** The sink of PyTorch: gradients add up in the parameters' `.grad`. */
export const gradField: GradientSink = {
  backward: (output, gradient) => output.backward(gradient),
  add: (parameter, gradient, scale) =>
    tidy(() => {
      const before = parameter.grad;
      if (before) before.add_(gradient, scale);
      else parameter.grad = gradient.mul_(scale);
    }),
  addProduct: (parameter, left, right, scale) =>
    tidy(() => {
      const before = parameter.grad;
      if (before) before.addmm_(left, right, 1, scale);
      else parameter.grad = left.mm(right).mul_(scale);
    }),
  drop: (parameter) => {
    parameter.grad = null;
  },
};

/** Runs `body`, which hands gradients to a sink. When it throws, some have arrived and some have not: all are dropped. */
export function allOrNone<T>(into: GradientSink, parameters: Iterable<Tensor>, body: () => T): T {
  try {
    return body();
  } catch (error) {
    for (const parameter of parameters) into.drop(parameter);
    throw error;
  }
}
