import { expect, test } from "vitest";
import { defaultDevice, F, memory, nn, optim, tidy } from "./index.js";

const device = defaultDevice();

class Network extends nn.Module {
  readonly up = new nn.Linear(32, 64);
  readonly norm = new nn.LayerNorm(64);
  readonly down = new nn.Linear(64, 32);
}

test("1,000 training steps leave as many tensors as 10, and the memory of the process where it was", () => {
  using model = nn.creating({ device }, () => new Network());
  using optimizer = new optim.AdamW(model.namedParameters());
  const train = (steps: number) => {
    for (let step = 0; step < steps; step++) {
      tidy(() => {
        const x = F.randn([64, 32], "float32", device);
        optimizer.zeroGrad();
        const hidden = model.norm.forward(model.up.forward(x)).gelu();
        model.down.forward(hidden).mseLoss(x).backward();
        optim.clipGradNorm(model.parameters(), 1);
        optimizer.step(1e-3);
      });
    }
    return { ...memory(), resident: process.memoryUsage().rss };
  };
  const after10 = train(10);
  const warm = train(490); // the allocator and the compiler settle
  const after1000 = train(500);
  expect({ tensors: after1000.tensors, bytes: after1000.bytes }).toEqual({
    tensors: after10.tensors,
    bytes: after10.bytes,
  });
  const grown = (after1000.resident - warm.resident) / 2 ** 20;
  expect(grown).toBeLessThan(16); // MiB; one step's tensors, kept, would make 50
});
