// @asvr/torch alone: a small network learns a sine, is saved as safetensors, and is loaded into a new network.
//   node examples/dist/torch-alone.js [FILE]
import { F, manualSeed, nn, optim, readSafetensors, type Tensor, tensor, tidy, writeSafetensors } from "@asvr/torch";

/** Properties are the names of the weights: `hidden.weight`, `output.bias`. */
class Network extends nn.Module {
  readonly hidden = new nn.Linear(1, 32);
  readonly output = new nn.Linear(32, 1);

  /** (points, 1) -> (points, 1) */
  forward(x: Tensor): Tensor {
    return this.output.forward(this.hidden.forward(x).gelu());
  }
}

const steps = 400;
const file = process.argv[2] ?? "sine.safetensors";

manualSeed(0);
const network = new Network();
const optimizer = new optim.AdamW(network.namedParameters());
const learningRate = optim.cosineWithWarmup({ learningRate: 0.02, totalSteps: steps, warmupSteps: 20 });
for (let step = 0; step < steps; step++) {
  // Every tensor that a step makes is freed at its end.
  tidy(() => {
    const x = F.rand([128, 1])
      .sub(0.5)
      .mul(2 * Math.PI);
    const loss = network.forward(x).mseLoss(x.sin());
    optimizer.zeroGrad();
    loss.backward();
    optim.clipGradNorm(network.parameters(), 1);
    optimizer.step(learningRate(step));
    if (step % 100 === 0 || step === steps - 1) console.log(`step ${step}: loss ${loss.item().toFixed(4)}`);
  });
}

tidy(() => writeSafetensors(file, network.stateDict()));
const loaded = new Network();
tidy(() => loaded.load(readSafetensors(file).tensors));

tidy(() => {
  const x = tensor([[-2], [-1], [0], [1], [2]]);
  const [found, wanted] = [loaded.forward(x), x.sin()].map((y) => y.flatten().toNumbers());
  for (const [i, sine] of wanted!.entries()) console.log(`sine ${sine.toFixed(3)}, network ${found![i]!.toFixed(3)}`);
  const isSame = loaded.forward(x).equal(network.forward(x));
  console.log(`loaded from ${file}: ${isSame ? "the same" : "another"} network`);
});
