import { defaultDevice, nn } from "@asvr/torch";
import { expectClose, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { ConvPixelDecoder } from "./conv-pixel-decoder.js";
import { convPixelDecoderConfig, type HubPixelDecoder } from "./dualtoken-hub.js";

goldenFamily<HubPixelDecoder>("f_pixel_decoder", (golden) => {
  const { forward, gradients } = golden.tolerance;
  using decoder = nn.creating(
    { device: defaultDevice() },
    () => new ConvPixelDecoder(convPixelDecoderConfig(golden.config)),
  );
  decoder.load(golden.weights());
  const latents = golden.tensor("in/z").setRequiresGrad(true);

  const first = decoder.convIn.forward(latents);
  expectClose(first, golden.tensor("out/conv_in"), forward, "first convolution");
  expectClose(decoder.mid.forward(first), golden.tensor("out/mid"), forward, "middle");
  const image = decoder.forward(latents);
  expectClose(image, golden.tensor("out/image"), forward, "picture");
  image.mul(golden.tensor("in/upstream")).sum().backward();
  expectClose(latents.grad!, golden.tensor("grad/in/z"), gradients, "gradient of the latents");
  const found = decoder.gradients();
  const expected = golden.under("grad/weight/");
  expect(expected.size).toBeGreaterThan(0);
  for (const [name, gradient] of expected) {
    expectClose(found.get(name)!, gradient, gradients, `gradient of ${name}`);
  }
});
