import { F, grad, noGrad, type Tensor, tidy } from "@asvr/torch";

/** Logits that may be held at once, in elements: 16 Mi are 64 MB in float32. */
const WHOLE_LOGITS = 1 << 24;

export interface LinearNll {
  /** Scalar in nats: the sum over rows. Carries the gradient to hidden states, weight and bias. */
  nll: Tensor;
  /** Rows whose most likely class is the target: an int64 scalar. */
  correct: Tensor;
}

/**
 * Sum of −log softmax(x Wᵀ + b)[target] over rows. Where the logits are many, they are made chunk by chunk and their
 * gradient is taken on the spot, so that no logits tensor is ever whole: the memory of one chunk, the time of one pass.
 * @param x (rows, dim)
 * @param weight (classes, dim)
 * @param targets int64 (rows), each in [0, classes)
 */
export function linearNll(x: Tensor, weight: Tensor, bias: Tensor | null, targets: Tensor): LinearNll {
  const [rows, classes] = [x.size(0), weight.size(0)];
  if (rows * classes <= WHOLE_LOGITS) return wholeNll(x, weight, bias, targets);
  return chunkedNll(x, weight, bias, targets, Math.max(1, Math.floor(WHOLE_LOGITS / classes)));
}

function wholeNll(x: Tensor, weight: Tensor, bias: Tensor | null, targets: Tensor): LinearNll {
  return tidy(() => {
    const logits = F.linear(x, weight, bias).to("float32"); // a softmax over many classes is too coarse in bfloat16
    const nll = logits.crossEntropyLoss(targets, undefined, 2 /* sum */);
    return { nll, correct: noGrad(() => logits.detach().argmax(-1).eq(targets).sum()) };
  });
}

/** As `wholeNll`, `chunkRows` rows at a time. Exported for its test. */
export function chunkedNll(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  targets: Tensor,
  chunkRows: number,
): LinearNll {
  return tidy(() => {
    const inputs = [x, weight, bias];
    // Those of weight and bias grow chunk by chunk: in bfloat16 the later ones would be lost in the sum.
    const sums = inputs.map((input, index) =>
      input?.requiresGrad
        ? input
            .detach()
            .zerosLike()
            .to(index === 0 ? input.dtype : "float32")
        : null,
    );
    let nll = F.zeros([], "float32", x.device);
    let correct = F.zeros([], "int64", x.device);
    let isRecorded = false; // never under noGrad
    for (let start = 0; start < x.size(0); start += chunkRows) {
      const count = Math.min(chunkRows, x.size(0) - start);
      [nll, correct] = tidy(() => {
        const [rows, ...shared] = [x.detach().narrow(0, start, count), weight.detach(), bias?.detach() ?? null];
        const leaves = [rows!, ...shared].map((leaf, index) => leaf?.setRequiresGrad(sums[index] !== null) ?? null);
        const chunk = wholeNll(leaves[0]!, leaves[1]!, leaves[2]!, targets.narrow(0, start, count));
        isRecorded = chunk.nll.requiresGrad;
        if (isRecorded) {
          const places = [sums[0]?.narrow(0, start, count), sums[1], sums[2]].filter((place) => place != null);
          const wanted = leaves.filter((leaf): leaf is Tensor => leaf?.requiresGrad ?? false);
          for (const [index, gradient] of grad([chunk.nll], wanted).entries()) places[index]!.add_(gradient!);
        }
        return [nll.add(chunk.nll.detach()), correct.add(chunk.correct)] as const;
      });
    }
    if (!isRecorded) return { nll, correct };
    // Terms of value 0 whose gradient is what was summed: (input − its own value) · gradient.
    for (const [index, input] of inputs.entries()) {
      const sum = sums[index];
      if (input && sum) nll = nll.add(input.sub(input.detach()).mul(sum.to(input.dtype)).sum());
    }
    return { nll, correct };
  });
}
