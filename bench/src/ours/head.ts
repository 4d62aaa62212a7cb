// Our side of `head`: loss and gradients of the visual head for one picture.
import { F, manualSeed, nn, noGrad, setThreads, type Tensor, tidy } from "@asvr/torch";
import { reconstructionNll, VisualHead } from "asvr";
import type { HeadFigures, HeadOptions } from "../benches/head.js";
import { peakResidentBytes, resetPeak, residentBytes } from "../harness/resident.js";

const { positions, config, threads } = JSON.parse(process.argv[2]!) as HeadOptions;
setThreads(threads);

const head = nn.creating({ initialise: false }, () => new VisualHead(config));
// The same numbers on both sides: libtorch's generator, seeded anew for each weight in the order of their names.
tidy(() => {
  for (const [seed, [name, weight]] of [...head.stateDict()].sort(([a], [b]) => (a < b ? -1 : 1)).entries()) {
    manualSeed(seed);
    if (/norm\d?\.weight$/.test(name)) weight.fill_(1);
    else weight.uniform_(-0.02, 0.02);
  }
});
manualSeed(1000);
const hiddenStates = noGrad(() => F.rand([positions, config.hiddenSize]).sub_(0.5)).setRequiresGrad(true);
const cumulative = noGrad(() => F.rand([positions, config.depth, config.codeDim]).sub_(0.5));
const codes = tidy(() => F.rand([positions, config.depth]).mul(config.codebookSize).floor().to("int64"));
const inputs = [hiddenStates, ...head.parameters()];

/** Loss and gradients of the first `count` positions; gradients add to those that are there. */
function pass(count: number): number {
  return tidy(() => {
    const some = (whole: Tensor) => whole.narrow(0, 0, count);
    const { nll } = reconstructionNll(head, some(hiddenStates), some(cumulative), some(codes));
    nll.backward();
    return nll.item();
  });
}

pass(8); // allocates the gradients, and lets libtorch prepare itself
tidy(() => {
  for (const input of inputs) input.grad!.zero_();
});
const before = residentBytes();
resetPeak();
const loss = pass(positions);
const bytes = peakResidentBytes() - before;
const norm = (tensors: readonly Tensor[]) =>
  tidy(() =>
    F.stack(tensors.map((tensor) => tensor.grad!.linalgVectorNorm()))
      .linalgVectorNorm()
      .item(),
  );
const gradNorms = { hiddenStates: norm([hiddenStates]), parameters: norm(head.parameters()) };
const started = performance.now();
pass(positions);
const seconds = (performance.now() - started) / 1000;
process.stdout.write(`${JSON.stringify({ loss, gradNorms, bytes, seconds } satisfies HeadFigures)}\n`);
