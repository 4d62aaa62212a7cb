import { defaultDevice, F, nn, type Tensor } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { SiglipVisionTower } from "./siglip.js";
import { flexSize, SiglipFlexTower } from "./siglip-flex.js";
import { type HubSiglipFlex, type HubSiglipVision, siglipFlexConfig, siglipVisionConfig } from "./siglip-hub.js";

type Hub = HubSiglipVision & HubSiglipFlex;
interface Sidecar {
  readonly class: "SiglipVisionModel" | "Siglip2VisionModel";
  /** height, width, new height, new width */
  readonly resize?: { readonly rows: readonly [number, number, number, number][] };
}

goldenFamily<Hub, Sidecar>("l_siglip2", (golden) => {
  if (golden.sidecar.class === "SiglipVisionModel") expectFixed(golden);
  else expectFlexible(golden);
});

function expectFixed(golden: Golden<Hub, Sidecar>): void {
  const { forward } = golden.tolerance;
  const config = siglipVisionConfig(golden.config, "attention-pooling");
  using tower = nn.creating({ device: defaultDevice() }, () => new SiglipVisionTower(config));
  tower.load(golden.weights("vision_model."));
  const pixelValues = golden.tensor("in/pixel_values");
  expectClose(F.stack(tower.hiddenStates(pixelValues)), golden.tensor("out/hidden_states"), forward, "hidden states");
  expectClose(tower.hiddenState(pixelValues, -2), golden.tensor("out/select_minus_2"), forward, "hidden state -2");
  const { lastHiddenState, pooled } = tower.forward(pixelValues);
  expectClose(lastHiddenState, golden.tensor("out/last_hidden_state"), forward, "last hidden state");
  expectClose(pooled!, golden.tensor("out/pooler_output"), forward, "pooled");
}

function expectFlexible(golden: Golden<Hub, Sidecar>): void {
  const { forward } = golden.tolerance;
  const config = siglipFlexConfig(golden.config, "attention-pooling");
  using tower = nn.creating({ device: defaultDevice() }, () => new SiglipFlexTower(config));
  tower.load(golden.weights("vision_model."));
  const shapes = golden
    .tensor("in/spatial_shapes")
    .unbind(0)
    .map((shape) => shape.toNumbers() as [number, number]);
  const pictures = { patches: golden.tensor("in/pixel_values"), shapes };
  const isPatch = golden.tensor("in/pixel_attention_mask").unsqueeze(-1); // (batch, patches, 1)
  const counts = isPatch.sum([1, 2]).toNumbers();
  expect(counts).toEqual(shapes.map(([rows, columns]) => rows * columns));
  const withoutPads = (states: Tensor) => states.mul(isPatch.to(states.dtype));

  const states = withoutPads(F.stack(tower.hiddenStatesOf(pictures)));
  expectClose(states, golden.tensor("out/hidden_states"), forward, "hidden states");
  const { lastHiddenState, pooled } = tower.forward(pictures);
  expectClose(withoutPads(lastHiddenState), golden.tensor("out/last_hidden_state"), forward, "last hidden state");
  expectClose(pooled!, golden.tensor("out/pooler_output"), forward, "pooled");

  for (const [height, width, newHeight, newWidth] of golden.sidecar.resize?.rows ?? []) {
    expect(flexSize({ height, width }), `${height} x ${width}`).toEqual({ height: newHeight, width: newWidth });
  }
}
