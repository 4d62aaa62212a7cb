import { defaultDevice, F, nn, type Tensor } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { normalise, Siglip, sigmoidContrastiveLoss } from "./contrastive.js";
import { SiglipVisionTower } from "./siglip.js";
import { type HubSiglipText, type HubSiglipVision, siglipTextConfig, siglipVisionConfig } from "./siglip-hub.js";

goldenFamily<HubSiglipVision>("a_siglip_vision", (golden) => {
  const { forward, gradients } = golden.tolerance;
  const config = siglipVisionConfig(golden.config, "attention-pooling");
  using tower = nn.creating({ device: defaultDevice() }, () => new SiglipVisionTower(config));
  tower.load(golden.weights("vision_model."));
  const pixelValues = golden.tensor("in/pixel_values").setRequiresGrad(true);

  const { lastHiddenState, pooled } = tower.forward(pixelValues);
  const selected = tower.hiddenState(pixelValues, -2);
  expectClose(lastHiddenState, golden.tensor("out/last_hidden_state"), forward, "last hidden state");
  expectClose(pooled!, golden.tensor("out/pooler_output"), forward, "pooled");
  expectClose(selected, golden.tensor("out/select_minus_2"), forward, "hidden state -2");
  expectClose(F.stack(tower.hiddenStates(pixelValues)), golden.tensor("out/hidden_states"), forward, "hidden states");

  const upstream = golden.tensor("in/upstream");
  const loss = selected
    .mul(upstream)
    .mean()
    .add(lastHiddenState.mul(upstream).mean())
    .add(pooled!.mul(golden.tensor("in/upstream_pooler")).mean());
  expectClose(loss, golden.tensor("out/loss"), forward, "loss");
  loss.backward();
  expectClose(pixelValues.grad!, golden.tensor("grad/in/pixel_values"), gradients, "gradient of the pixels");
  expectGradients(tower.gradients(), golden, "vision_model.");
});

interface ContrastiveGolden {
  readonly vision_config: HubSiglipVision;
  readonly text_config: HubSiglipText;
}

goldenFamily<ContrastiveGolden>("a_siglip_contrastive", (golden) => {
  const { forward } = golden.tolerance;
  const vision = siglipVisionConfig(golden.config.vision_config, "attention-pooling");
  const text = siglipTextConfig(golden.config.text_config);
  using model = nn.creating({ device: defaultDevice() }, () => new Siglip(vision, text));
  model.load(golden.weights());
  const [inputIds, pixelValues] = [golden.tensor("in/input_ids"), golden.tensor("in/pixel_values")];

  const texts = model.textModel.forward(inputIds);
  expectClose(texts.lastHiddenState, golden.tensor("out/text_last_hidden_state"), forward, "text states");
  expectClose(normalise(texts.pooled), golden.tensor("out/text_embeds"), forward, "texts");
  const pictures = model.visionModel.forward(pixelValues).pooled!;
  expectClose(normalise(pictures), golden.tensor("out/image_embeds"), forward, "pictures");

  const logits = model.forward(inputIds, pixelValues);
  expectClose(logits, golden.tensor("out/logits_per_text"), forward, "logits");
  expectClose(logits.t(), golden.tensor("out/logits_per_image"), forward, "logits by picture");
  const loss = sigmoidContrastiveLoss(logits);
  expectClose(loss, golden.tensor("out/loss"), forward, "loss");
  loss.backward();
  expectGradients(model.gradients(), golden, "");
});

/** Every gradient that the golden has; it leaves out those that are none. */
function expectGradients(gradients: Map<string, Tensor | null>, golden: Golden<unknown, unknown>, prefix: string) {
  const expected = golden.under(`grad/weight/${prefix}`);
  expect(expected.size).toBeGreaterThan(0);
  for (const [name, gradient] of expected) {
    const found = gradients.get(name);
    expect(found, `gradient of ${name}`).toBeTruthy();
    expectClose(found!, gradient, golden.tolerance.gradients, `gradient of ${name}`);
  }
}
