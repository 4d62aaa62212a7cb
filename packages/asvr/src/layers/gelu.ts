import type { Tensor } from "@asvr/torch";

/**
 * The GELU and its approximations. Published SigLIP checkpoints have the tanh form, OpenAI's CLIP the quick one,
 * x · sigmoid(1.702 x); the exact one is twice as fast on a CPU as the tanh form.
 */
export type Gelu = "gelu-tanh" | "gelu" | "quick-gelu";

/** By their names in the hub's config.json. */
export const hubGelus: Readonly<Record<string, Gelu>> = {
  gelu: "gelu",
  gelu_pytorch_tanh: "gelu-tanh",
  quick_gelu: "quick-gelu",
};

/** Any shape -> same */
export function gelu(x: Tensor, kind: Gelu): Tensor {
  if (kind === "quick-gelu") return x.mul(x.mul(1.702).sigmoid());
  return x.gelu(kind === "gelu" ? "none" : "tanh");
}
