import { defaultDevice, nn, type Tensor } from "@asvr/torch";
import { expectClose, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { AttentionProjection, QuantResnetBlock } from "./quant-blocks.js";

goldenFamily<{ readonly groups: number }>("e_quant_blocks", (golden) => {
  const blocks = new Set([...golden.tensors.keys()].map((name) => name.slice(0, name.indexOf("/"))));
  expect(blocks.size).toBeGreaterThan(0);
  for (const name of blocks) {
    const weights = golden.under(`${name}/weight/`);
    const x = golden.tensor(`${name}/in/x`).setRequiresGrad(true);
    using block = nn.creating({ device: defaultDevice() }, () => blockOf(name, weights, golden.config.groups));
    block.load(weights);
    const y = block.forward(x);
    expectClose(y, golden.tensor(`${name}/out/y`), golden.tolerance.forward, `${name}/out/y`);
    y.mul(golden.tensor(`${name}/in/upstream`))
      .sum()
      .backward();
    expectClose(x.grad!, golden.tensor(`${name}/grad/in/x`), golden.tolerance.gradients, `${name}/grad/in/x`);
    const gradients = block.gradients();
    for (const [key, gradient] of golden.under(`${name}/grad/weight/`)) {
      expectClose(gradients.get(key)!, gradient, golden.tolerance.gradients, `${name}: gradient of ${key}`);
    }
  }
});

/** The block of that name, with the widths of its weights. Before the quantizer (down) attention is not causal. */
function blockOf(name: string, weights: ReadonlyMap<string, Tensor>, groups: number) {
  if (name.startsWith("attn_projection")) {
    const [outDim, inDim] = weights.get("proj.weight")!.shape as [number, number];
    return new AttentionProjection({ inDim, outDim, causal: inDim < outDim });
  }
  const [outChannels, inChannels] = weights.get("conv1.weight")!.shape as [number, number, number, number];
  return new QuantResnetBlock(inChannels, outChannels, groups);
}
