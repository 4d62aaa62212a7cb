import { defaultDevice, F, nn } from "@asvr/torch";
import { expectClose, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { DepthAnything } from "./depth-anything.js";
import { depthAnythingConfig, type HubDepthAnything } from "./dinov2-hub.js";

interface Sidecar {
  /** `HEIGHTxWIDTH`: what keys begin with. */
  readonly sizes: readonly string[];
}

goldenFamily<HubDepthAnything, Sidecar>("l_depth_anything", (golden) => {
  const { forward } = golden.tolerance;
  const device = { device: defaultDevice() };
  using model = nn.creating(device, () => new DepthAnything(depthAnythingConfig(golden.config)));
  using offset = nn.creating(device, () => new DepthAnything(depthAnythingConfig(golden.config, "bicubic-offset")));
  const weights = golden.weights();
  model.load(weights);
  offset.load(weights);
  expect(golden.sidecar.sizes.length).toBeGreaterThan(0);
  for (const size of golden.sidecar.sizes) {
    const pixelValues = golden.tensor(`${size}/in/pixel_values`);
    const wanted = golden.under(`${size}/out/`);
    const states = F.stack(model.hiddenStates(pixelValues));
    expectClose(states, wanted.get("hidden_states")!, forward, `${size}: hidden states`);
    expectClose(model.hiddenState(pixelValues, -2), states.select(0, -2), forward, `${size}: hidden state -2`);
    const { featureMaps, fused, depth } = model.forward(pixelValues);
    expectClose(F.stack(featureMaps), wanted.get("feature_maps")!, forward, `${size}: feature maps`);
    for (const [index, map] of fused.entries()) {
      expectClose(map, wanted.get(`fused_${index}`)!, forward, `${size}: fused map ${index}`);
    }
    expectClose(depth, wanted.get("predicted_depth")!, forward, `${size}: depth`);

    const withOffset = golden.under(`${size}/offset/out/`);
    if (withOffset.size === 0) continue;
    expectClose(offset.hiddenState(pixelValues, 0), withOffset.get("embeddings")!, forward, `${size}: offset`);
    expectClose(offset.depthOf(pixelValues), withOffset.get("predicted_depth")!, forward, `${size}: depth, offset`);
  }
});
