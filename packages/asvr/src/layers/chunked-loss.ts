import { F, isRecording, noGrad, type Tensor, tidy, withGradients } from "@asvr/torch";

/** Logits that may be held at once, in elements: 16 Mi are 64 MB in float32. */
const WHOLE_LOGITS = 1 << 24;
/** Classes of which a matrix product makes logits at once: their weights stay in the processor's cache. */
const CLASSES_AT_ONCE = 1024;

export interface LinearNll {
  /** Scalar in nats: the sum over rows. Carries the gradient to hidden states, weight and bias. */
  nll: Tensor;
  /** Rows for which no class is more likely than the target: an int64 scalar. */
  correct: Tensor;
}

export interface LinearNllOptions {
  /** Rows whose logits are made at once. */
  chunkRows?: number;
  /**
   * What the loss will be multiplied with before `backward`, where that is known: then the gradients of weight and bias
   * are added to their `.grad` at once, which takes no memory beside it, and backward brings only that of x.
   */
  scale?: number;
}

/**
 * Sum of −log softmax(x Wᵀ + b)[target] over rows. Logits are made some rows at a time, and their gradient is taken on
 * the spot: it is softmax minus one-hot, written over the logits. So no logits tensor is ever whole or kept for
 * backward, and nothing is computed twice. It has first derivatives only.
 * @param x (rows, dim)
 * @param weight (classes, dim)
 * @param targets int64 (rows), each in [0, classes)
 */
export function linearNll(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  targets: Tensor,
  { chunkRows = Math.max(1, Math.floor(WHOLE_LOGITS / weight.size(0))), scale }: LinearNllOptions = {},
): LinearNll {
  return tidy(() => {
    const inputs = bias ? [x, weight, bias] : [x, weight];
    const wanted = inputs.map((input) => isRecording() && input.requiresGrad);
    const { nll, correct, gradients } = noGrad(() => {
      let sums = emptySums(x, wanted);
      for (let start = 0; start < x.size(0); start += chunkRows) {
        const rows = x.narrow(0, start, Math.min(chunkRows, x.size(0) - start));
        const ids = targets.narrow(0, start, rows.size(0)).unsqueeze(1); // (count, 1)
        sums = tidy(() => {
          // A softmax over many classes is too coarse in bfloat16.
          const logProbabilities = logitsOf(rows, weight, bias).to("float32").logSoftmax(-1); // (count, classes)
          const likelihoods = logProbabilities.gather(1, ids);
          const isRight = likelihoods.ge(logProbabilities.amax(-1, true));
          const counted = { ...sums, nll: sums.nll.sub(likelihoods.sum()), correct: sums.correct.add(isRight.sum()) };
          if (!wanted.includes(true)) return counted;
          const gradient = logProbabilities.exp_().scatter_(1, ids, -1, "add").to(x.dtype);
          sums.x?.narrow(0, start, rows.size(0)).copy_(gradient.mm(weight));
          if (scale !== undefined) {
            if (wanted[1]) addToGradient(weight, gradient.t(), rows, scale);
            if (wanted[2]) addToGradient(bias!, null, gradient, scale);
            return counted;
          }
          const isWhole = rows.size(0) === x.size(0);
          return {
            ...counted,
            weight: wanted[1] ? plus(sums.weight, gradient.t().mm(rows), isWhole) : null,
            bias: wanted[2] ? plus(sums.bias, gradient.sum(0), isWhole) : null,
          };
        });
      }
      const found = [sums.x, sums.weight, sums.bias];
      const gradients = inputs.map((input, i) => (wanted[i] ? (found[i]?.to(input.dtype) ?? input.zerosLike()) : null));
      return { ...sums, gradients };
    });
    // With a scale, weight and bias have their gradients already: none comes through the graph.
    const through = scale === undefined ? inputs : [x];
    return { nll: withGradients(nll, through, gradients.slice(0, through.length), scale), correct };
  });
}

/** x Wᵀ + b, (rows, classes), without history. At 2,048 × 16,384 it takes a sixth less time than in one product. */
function logitsOf(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  const classes = weight.size(0);
  if (classes < 2 * CLASSES_AT_ONCE) return F.linear(x, weight, bias);
  return tidy(() => {
    const logits = F.empty([x.size(0), classes], x.dtype, x.device);
    if (bias) logits.copy_(bias);
    for (let start = 0; start < classes; start += CLASSES_AT_ONCE) {
      const count = Math.min(CLASSES_AT_ONCE, classes - start);
      logits.narrow(1, start, count).addmm_(x, weight.narrow(0, start, count).t(), bias ? 1 : 0);
    }
    return logits;
  });
}

/** Adds scale · left · right to the gradient of a parameter, in place; without `left`, the sum over `right`'s rows. */
function addToGradient(parameter: Tensor, left: Tensor | null, right: Tensor, scale: number): void {
  const before = parameter.grad;
  if (left && before) before.addmm_(left, right, 1, scale);
  else if (left) parameter.grad = left.mm(right).mul_(scale);
  else if (before) before.add_(right.sum(0), scale);
  else parameter.grad = right.sum(0).mul_(scale);
}

interface Sums extends LinearNll {
  /** Gradients; null where none is wanted, or none has come yet. */
  x: Tensor | null;
  weight: Tensor | null;
  bias: Tensor | null;
}

function emptySums(x: Tensor, [wantsX]: readonly boolean[]): Sums {
  return {
    nll: F.zeros([], "float32", x.device),
    correct: F.zeros([], "int64", x.device),
    x: wantsX ? F.empty(x.shape, x.dtype, x.device) : null,
    weight: null,
    bias: null,
  };
}

/** Over several chunks in float32: in bfloat16 the later ones would be lost in the sum. */
function plus(sum: Tensor | null, part: Tensor, isWhole: boolean): Tensor {
  if (sum) return sum.add_(part);
  return isWhole ? part : part.to("float32");
}
