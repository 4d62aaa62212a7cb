import { defaultDevice, F, nn } from "@asvr/torch";
import { expectClose, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { Dinov3Tower } from "./dinov3.js";
import { dinov3Config, type HubDinov3 } from "./dinov3-hub.js";
import { patchRotary } from "./patch-rotary.js";
import { VisualFeatures } from "./visual-features.js";

interface Sidecar {
  readonly tokens: { readonly grid: readonly [number, number]; readonly patches: readonly [number, number] };
}

goldenFamily<HubDinov3, Sidecar>("l_dinov3", (golden) => {
  const { forward, gradients } = golden.tolerance;
  const config = dinov3Config(golden.config);
  using tower = nn.creating({ device: defaultDevice() }, () => new Dinov3Tower(config));
  tower.load(golden.weights());
  const pixelValues = golden.tensor("in/pixel_values").setRequiresGrad(true);
  const { grid, patches } = golden.sidecar.tokens;

  const options = { headDim: config.dim / config.heads, theta: config.ropeTheta };
  const rotary = patchRotary(...grid, { ...options, device: pixelValues.device, dtype: "float32" });
  expectClose(rotary.cos, golden.tensor("out/rope_cos"), forward, "cosines");
  expectClose(rotary.sin, golden.tensor("out/rope_sin"), forward, "sines");

  const states = golden.tensor("out/hidden_states");
  expectClose(F.stack(tower.hiddenStates(pixelValues)), states, forward, "hidden states");
  expectClose(tower.hiddenState(pixelValues, -2), states.select(0, -2), forward, "hidden state -2");
  const selected = new VisualFeatures(tower, { layers: [-2], strategy: "patches" }).forward(pixelValues);
  const wanted = states.select(0, -2).narrow(1, patches[0], patches[1] - patches[0]);
  expectClose(selected, wanted, forward, "hidden state -2, patches");

  const { lastHiddenState, pooled } = tower.forward(pixelValues);
  expectClose(lastHiddenState, golden.tensor("out/last_hidden_state"), forward, "last hidden state");
  expectClose(pooled, golden.tensor("out/pooler_output"), forward, "pooled");
  const loss = lastHiddenState.mul(golden.tensor("in/upstream")).mean();
  expectClose(loss, golden.tensor("out/loss"), forward, "loss");
  loss.backward();
  expectClose(pixelValues.grad!, golden.tensor("grad/in/pixel_values"), gradients, "gradient of the pixels");
  const found = tower.gradients();
  for (const [name, gradient] of golden.under("grad/weight/")) {
    expect(found.get(name), `gradient of ${name}`).toBeTruthy();
    expectClose(found.get(name)!, gradient, gradients, `gradient of ${name}`);
  }
});
