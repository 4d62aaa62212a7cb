// Our side of `operators`: nanoseconds of a call, case by case.
import { F, setThreads, type Tensor, tensor, tidy } from "@asvr/torch";
import type { OperatorTimes } from "../benches/operators.js";

/** A step of training frees what it made layer by layer: about so many calls share a scope. */
const CALLS_IN_A_SCOPE = 20;

const options = JSON.parse(process.argv[2]!) as Record<"threads" | "calls" | "chainCalls" | "chunks", number>;
setThreads(options.threads);

/** Inputs that begin alike on both sides. */
function inputs(requiresGrad: boolean) {
  const grid = (rows: number, columns: number) =>
    tensor(
      Float32Array.from({ length: rows * columns }, (_, i) => (i % 7) / 7 - 0.5),
      { shape: [rows, columns] },
    );
  const [a, b, x, weight] = [grid(2, 2), grid(2, 2), grid(4, 8), grid(8, 8)];
  const bias = tensor(new Float32Array(8).fill(0.1));
  for (const input of [a, b, x, weight, bias]) input.setRequiresGrad(requiresGrad);
  return { a, b, x, weight, bias };
}

function forwardCases({ a, b, x, weight, bias }: ReturnType<typeof inputs>): Record<string, () => Tensor> {
  return {
    add: () => a.add(b),
    "multiply by a number": () => a.mul(2.5),
    "matrix product": () => a.matmul(b),
    sum: () => a.sum(),
    view: () => a.view([4]),
    narrow: () => a.narrow(0, 1, 1),
    "cat of two": () => F.cat([a, b], 0),
    softmax: () => x.softmax(-1),
    linear: () => F.linear(x, weight, bias),
  };
}

/** Nanoseconds of one `run`, of many in scopes. Median of several chunks, the first ones not counted. */
function nanoseconds(run: () => unknown, callsInAScope: number, calls = options.calls): number {
  const { chunks } = options;
  const scopes = Math.ceil(calls / callsInAScope);
  const times: number[] = [];
  for (let chunk = -2; chunk < chunks; chunk++) {
    const started = process.hrtime.bigint();
    for (let scope = 0; scope < scopes; scope++) {
      tidy(() => {
        for (let call = 0; call < callsInAScope; call++) run();
      });
    }
    const elapsed = Number(process.hrtime.bigint() - started);
    if (chunk >= 0) times.push(elapsed / (scopes * callsInAScope));
  }
  return times.sort((p, q) => p - q)[Math.floor(times.length / 2)]!;
}

function timesOf(cases: Record<string, () => Tensor>): Record<string, number> {
  return Object.fromEntries(Object.entries(cases).map(([name, run]) => [name, nanoseconds(run, CALLS_IN_A_SCOPE)]));
}

/** A small chain and its backward pass: one scope, as a step is. */
function chain(): number {
  const { x, weight, bias } = inputs(true);
  const parameters = [weight, bias];
  x.setRequiresGrad(false);
  const step = () => {
    for (const parameter of parameters) parameter.grad = null;
    F.linear(x, weight, bias).gelu().mul(2.5).sum().backward();
  };
  return nanoseconds(step, 1, options.chainCalls);
}

const times: OperatorTimes = {
  plain: timesOf(forwardCases(inputs(false))),
  recording: { ...timesOf(forwardCases(inputs(true))), "forward and backward": chain() },
};
process.stdout.write(`${JSON.stringify(times)}\n`);
