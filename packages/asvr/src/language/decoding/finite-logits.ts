import { type nn, type Tensor, tidy } from "@asvr/torch";
import { NonFiniteError } from "../../errors.js";
import type { LlamaForCausalLM } from "../llama.js";

/**
 * The likeliest token of each row of logits, and whether the row has numbers: the largest of logits of which one is NaN
 * is NaN, so that one value a row tells.
 * @param logits (rows, vocabSize)
 */
export function likeliestOf(logits: Tensor): { ids: number[]; areNumbers: boolean[] } {
  return tidy(() => {
    const at = logits.argmax(-1, true);
    const areNumbers = logits.gather(-1, at).toNumbers().map(Number.isFinite);
    return { ids: at.toNumbers(), areNumbers };
  });
}

/** The error of logits that are no numbers. It looks again for where that began, which is slow and done only now. */
export function nonFiniteLogits(language: LlamaForCausalLM, cause: string | undefined): NonFiniteError {
  const weight = nonFiniteTensor(language);
  const where = weight ? `its weight ${weight}` : (cause ?? "its weights are numbers: a sum overflowed");
  return new NonFiniteError(
    `the model's logits are no numbers (NaN or infinite): ${where}. ` +
      "Fetch the checkpoint again, or open it in float32 (--dtype float32) if it was made for another dtype.",
  );
}

/** The first tensor of a network with a value that is no number, and how many it has: "lm_head.weight holds …". */
export function nonFiniteTensor(network: nn.Module): string | undefined {
  for (const { name, tensor } of network.stateEntries()) {
    const wrong = tensor.elementCount - tidy(() => tensor.isfinite().sum().item());
    if (wrong > 0) return `${name} holds ${wrong} of ${tensor.elementCount} values that are NaN or infinite`;
  }
  return undefined;
}
