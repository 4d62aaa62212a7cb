// Our side of `head`: loss and gradients for one picture, of the classifiers or of the whole visual head.
import { F, manualSeed, nn, noGrad, setThreads, type Tensor, tidy } from "@asvr/torch";
import { accumulateClassifiers, accumulateReconstructionNll, gradField, VisualHead } from "asvr";
import type { HeadFigures, HeadOptions } from "../benches/head.js";
import { peakResidentBytes, resetPeak, residentBytes } from "../harness/resident.js";

const { part, positions, config, threads } = JSON.parse(process.argv[2]!) as HeadOptions;
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
const isWhole = part === "whole";
const width = isWhole ? [positions, config.hiddenSize] : [positions, config.depth, config.embedDim];
const states = noGrad(() => F.rand(width).sub_(0.5)).setRequiresGrad(true);
const cumulative = noGrad(() => F.rand([positions, config.depth, config.codeDim]).sub_(0.5));
const codes = tidy(() => F.rand([positions, config.depth]).mul(config.codebookSize).floor().to("int64"));
const classifiers = head.depthTransformer.heads;
const parameters = isWhole ? head.parameters() : classifiers.flatMap((classifier) => classifier.parameters());

/** Loss and gradients of the first `count` positions. */
function pass(count: number): number {
  return tidy(() => {
    const [x, sums, targets] = [states, cumulative, codes].map((all) => all.narrow(0, 0, count)) as Inputs;
    if (!isWhole) return classify(x, targets);
    const { nll, gradient } = accumulateReconstructionNll(head, x, sums, targets, alone);
    x.backward(gradient!);
    return nll.item();
  });
}
type Inputs = [Tensor, Tensor, Tensor];
const alone = { scale: 1, into: gradField };

function classify(features: Tensor, targets: Tensor): number {
  const { nll, gradient } = accumulateClassifiers(head, features, targets, alone);
  features.backward(gradient!);
  return nll.item();
}

function zeroGradients(): void {
  for (const input of [states, ...parameters]) input.grad!.zero_();
}

pass(8); // gradients exist now, and libtorch has prepared itself
zeroGradients();
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
const gradNorms = { inputs: norm([states]), parameters: norm(parameters) };
zeroGradients();
const started = performance.now();
pass(positions);
const seconds = (performance.now() - started) / 1000;
process.stdout.write(`${JSON.stringify({ loss, gradNorms, bytes, seconds } satisfies HeadFigures)}\n`);
