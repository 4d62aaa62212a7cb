import { defaultDevice, nn, type Tensor } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import type { Draws } from "./codebook.js";
import { type Quantization, ResidualQuantizer } from "./residual-quantizer.js";

interface QuantizerGolden {
  readonly kind: "rq_ema" | "rq";
  readonly dim: number;
  readonly depth: number;
  readonly n_embed: number;
  readonly decay: number;
  readonly eps: number;
  readonly shared_codebook: boolean;
  readonly restart_unused_codes: boolean;
}

goldenFamily<QuantizerGolden>("e_rq_ema", compare);
goldenFamily<QuantizerGolden>("e_rq_per_depth", compare);

function compare(golden: Golden<QuantizerGolden, unknown>): void {
  using quantizer = quantizerOf(golden, "own");
  const x = golden.tensor("eval/in/x").setRequiresGrad(true);
  const evaluated = quantizer.encode(x);
  expectQuantization(evaluated, golden, "eval/out");
  const { cumulative } = evaluated;
  expectClose(cumulative, golden.tensor("eval/out/cumulative"), golden.tolerance.forward, "cumulative");
  expectClose(quantizer.lookup(golden.tensor("eval/out/codes")), cumulative, golden.tolerance.forward, "lookup");
  const upstream = golden.tensor("eval/in/upstream");
  evaluated.quantized.mul(upstream).sum().add(evaluated.commitmentLoss.mul(0.25)).backward();
  expectClose(x.grad!, golden.tensor("eval/grad/in/x"), golden.tolerance.gradients, "gradient of x");

  expectSteps(quantizer, golden, "");
  if (golden.under("as_released/").size > 0) {
    using released = quantizerOf(golden, "last");
    expectSteps(released, golden, "as_released/");
  }
}

function quantizerOf(golden: Golden<QuantizerGolden, unknown>, residuals: "own" | "last"): ResidualQuantizer {
  const { kind, dim, depth, n_embed, decay, eps, shared_codebook: shared, restart_unused_codes } = golden.config;
  const restartBelow = restart_unused_codes ? 1 : ("never" as const);
  const update = { kind, decay, epsilon: eps, restartBelow, residuals };
  const quantizer = nn.creating(
    { device: defaultDevice() },
    () => new ResidualQuantizer({ dim, codebookSize: n_embed, depth, shared, update }),
  );
  return quantizer.load(codebookState(golden));
}

function expectSteps(quantizer: ResidualQuantizer, golden: Golden<QuantizerGolden, unknown>, prefix: string): void {
  for (let step = 1; golden.tensors.has(`step${step}/in/x`); step++) {
    const trained = quantizer.encodeAndUpdate(golden.tensor(`step${step}/in/x`), storedDraws(golden, step));
    expectQuantization(trained, golden, `${prefix}step${step}/out`);
    const { weight, clusterSizeEma, embedEma } = quantizer.codebooks[0]!;
    const state = { cluster_size_ema: clusterSizeEma!, embed_ema: embedEma!, codebook: weight };
    for (const [name, tensor] of Object.entries(state)) {
      const key = `${prefix}step${step}/out/${name}`;
      expectClose(tensor, golden.tensor(key), golden.tolerance.forward, key);
    }
  }
}

function codebookState(golden: Golden<QuantizerGolden, unknown>): Map<string, Tensor> {
  return new Map(
    [...golden.weights()].map(([name, weight]) => [`codebooks.0.${name === "codebook" ? "weight" : name}`, weight]),
  );
}

function expectQuantization(actual: Quantization, golden: Golden<QuantizerGolden, unknown>, prefix: string): void {
  const { forward } = golden.tolerance;
  expect(actual.codes.equal(golden.tensor(`${prefix}/codes`)), `${prefix}/codes`).toBe(true);
  expectClose(actual.quantized, golden.tensor(`${prefix}/z_q`), forward, `${prefix}/z_q`);
  expectClose(actual.commitmentLoss, golden.tensor(`${prefix}/commitment_loss`), forward, `${prefix}/commitment_loss`);
}

/** The reference's random numbers of one step, in the order in which it drew them. */
function storedDraws(golden: Golden<QuantizerGolden, unknown>, step: number): Draws {
  let [permutations, noises] = [0, 0];
  return {
    permutation: () => golden.tensor(`step${step}/in/permutation${permutations++}`),
    noise: () => golden.tensor(`step${step}/in/noise${noises++}`),
  };
}
