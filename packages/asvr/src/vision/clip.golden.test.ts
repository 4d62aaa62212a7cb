import { defaultDevice, F, nn } from "@asvr/torch";
import { expectClose, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { ClipVisionTower } from "./clip.js";
import { clipVisionConfig, type HubClipVision } from "./clip-hub.js";
import { VisualFeatures } from "./visual-features.js";

interface Sidecar {
  readonly no_gradient: readonly string[];
}

goldenFamily<HubClipVision, Sidecar>("a_clip_vision", (golden) => {
  const { forward, gradients } = golden.tolerance;
  const config = clipVisionConfig(golden.config);
  using tower = nn.creating({ device: defaultDevice() }, () => new ClipVisionTower(config));
  tower.load(golden.weights("vision_model."));
  const pixelValues = golden.tensor("in/pixel_values").setRequiresGrad(true);

  const states = golden.tensor("out/hidden_states");
  expectClose(F.stack(tower.hiddenStates(pixelValues)), states, forward, "hidden states");
  const { lastHiddenState, pooled } = tower.forward(pixelValues);
  expectClose(lastHiddenState, states.select(0, -1), forward, "last hidden state");
  expectClose(pooled, golden.tensor("out/pooler_output"), forward, "pooled");
  const full = new VisualFeatures(tower, { layers: [-2], strategy: "full" }).forward(pixelValues);
  expectClose(full, states.select(0, -2), forward, "hidden state -2, full");

  const selected = new VisualFeatures(tower, { layers: [-2], strategy: "default" }).forward(pixelValues);
  expectClose(selected, golden.tensor("out/select_minus_2_patch"), forward, "hidden state -2, default");
  const loss = selected.mul(golden.tensor("in/upstream")).mean();
  expectClose(loss, golden.tensor("out/loss"), forward, "loss");
  loss.backward();
  expectClose(pixelValues.grad!, golden.tensor("grad/in/pixel_values"), gradients, "gradient of the pixels");
  const found = tower.gradients();
  const expected = golden.under("grad/weight/vision_model.");
  expect(expected.size).toBeGreaterThan(0);
  for (const [name, gradient] of expected) {
    expectClose(found.get(name)!, gradient, gradients, `gradient of ${name}`);
  }
  for (const name of golden.sidecar.no_gradient) expect(found.get(name.replace("vision_model.", ""))).toBeNull();
});
