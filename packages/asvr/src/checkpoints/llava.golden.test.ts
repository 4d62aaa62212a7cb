import { join } from "node:path";
import { defaultDevice, setThreads, type Tensor, tensor } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily, type Tolerance } from "@asvr/torch/testing";
import { expect } from "vitest";
import { packSamples } from "../data/packing.js";
import { IMAGE_TOKEN_INDEX } from "../data/samples.js";
import { generate } from "../language/generation.js";
import { visibilityMask } from "../model/layout.js";
import type { Llava } from "../model/llava.js";
import { loadLlava } from "./llava.js";
import { llavaName } from "./llava-names.js";

setThreads(1); // test files run side by side

interface Sidecar {
  readonly folder: string;
  readonly gradient_norms: Readonly<Record<string, number>>;
}

goldenFamily<unknown, Sidecar>("c_llava", (golden) => {
  const { forward, gradients } = golden.tolerance;
  using llava = loadLlava(join(golden.folder, golden.sidecar.folder));
  const pixelValues = golden.tensor("in/pixel_values").setRequiresGrad(true);
  const features = llava.imageFeatures(pixelValues);
  expectClose(features, golden.tensor("out/image_features"), forward, "image features");

  // Right padding: padding is no document, so it sees itself only.
  const attentionMask = golden.tensor("in/attention_mask");
  const mask = visibilityMask(attentionMask.sub(1), attentionMask.zerosLike());
  const states = llava.forward(golden.tensor("in/input_ids"), pixelValues, { mask });
  const logits = llava.logits(states);
  expectClose(logits.mul(attentionMask.unsqueeze(-1)), golden.tensor("out/logits"), forward, "logits");
  const labels = golden.tensor("in/labels");
  const length = labels.size(1);
  const loss = logits
    .narrow(1, 0, length - 1)
    .flatten(0, 1)
    .crossEntropyLoss(labels.narrow(1, 1, length - 1).flatten());
  expectClose(loss, golden.tensor("out/loss"), forward, "loss");
  loss.backward();
  expectClose(pixelValues.grad!, golden.tensor("grad/in/pixel_values"), gradients, "gradient of the pixels");
  expectGradients(llava, golden, gradients);

  expect(greedy(llava, golden)).toEqual(golden.tensor("generate/out/new_tokens").toNumbers());
});

function expectGradients(llava: Llava, golden: Golden<unknown, Sidecar>, tolerance: Tolerance): void {
  const found = llava.gradients();
  const gradientOf = (name: string): Tensor => {
    const gradient = found.get(llavaName(name));
    expect(gradient, `gradient of ${name}`).toBeTruthy();
    return gradient!;
  };
  for (const [name, gradient] of golden.under("grad/weight/")) {
    expectClose(gradientOf(name), gradient, tolerance, `gradient of ${name}`);
  }
  for (const [name, norm] of Object.entries(golden.sidecar.gradient_norms)) {
    expectClose(gradientOf(name).square().sum().sqrt(), tensor(norm), tolerance, `norm of the gradient of ${name}`);
  }
  expect([...found.values()].filter(Boolean).length).toBe(Object.keys(golden.sidecar.gradient_norms).length);
}

/** The golden's tokens, by the generation of packed batches. */
function greedy(llava: Llava, golden: Golden<unknown, Sidecar>): number[] {
  const { positions } = llava.features;
  const ids = golden.tensor("generate/in/input_ids").toNumbers();
  const first = ids.indexOf(llava.config.imageTokenId);
  const inputIds = Int32Array.of(...ids.slice(0, first), IMAGE_TOKEN_INDEX, ...ids.slice(first + positions));
  const sample = { id: "0", image: { key: "0" }, inputIds, labels: inputIds.map(() => -100) };
  const batch = packSamples([sample], { capacity: ids.length, imageTokens: positions, compact: false });
  const pixels = llava.features.forward(golden.tensor("generate/in/pixel_values"));
  const maxNewTokens = golden.tensor("generate/out/new_tokens").elementCount;
  return generate(llava.model, batch, pixels, { eosId: -1, maxNewTokens, device: defaultDevice() })[0]!;
}
