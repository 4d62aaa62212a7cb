import * as F from "../operators.generated.js";
import { noGrad, tidy } from "../scope.js";
import type { Tensor } from "../tensor.js";

/**
 * Scales all gradients together by min(1, maxNorm / (norm + 1e-6)), in place.
 * @param parameters those without a gradient are passed over
 * @returns the L2 norm of all gradients as one vector, before clipping; not finite where a gradient is not (check it:
 *   the gradients are spoilt then). Waits for the device.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): number {
  return noGrad(() =>
    tidy(() => {
      const gradients = Array.from(parameters, (parameter) => parameter.grad).filter((gradient) => gradient !== null);
      if (gradients.length === 0) return 0;
      // A norm in bfloat16 would have three digits.
      const wide = gradients.some((gradient) => gradient.dtype === "float64") ? "float64" : "float32";
      const norm = F.stack(F.foreachNorm(gradients, 2, wide)).linalgVectorNorm();
      F.foreachMul_(gradients, norm.add(1e-6).reciprocal().mul(maxNorm).clamp(null, 1));
      return norm.item();
    }),
  );
}
