// Worker threads load the compiled package, each into an environment of its own.
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";

const compiled = pathToFileURL(join(dirname(fileURLToPath(import.meta.url)), "..", "dist", "index.js")).href;

/** Starts a worker that answers with the value of `body`, an async function's body that sees the package as `torch`. */
function start(
  body: string,
  workerData?: unknown,
): { worker: Worker; answer: Promise<unknown>; ended: Promise<number> } {
  const program = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(${JSON.stringify(compiled)}).then(async (torch) => {
      const { F, memory, noGrad, optim, nn, tensor, tidy } = torch;
      parentPort.postMessage(await (async () => { ${body} })());
    });
  `;
  const worker = new Worker(program, { eval: true, workerData });
  const answer = new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  const ended = new Promise<number>((resolve) => worker.once("exit", resolve));
  return { worker, answer, ended };
}

/** Trains a line through points whose slope is the worker's; gives weight, live tensors and whether gradients are on. */
const training = `
  const slope = workerData;
  const model = new nn.Linear(1, 1, { bias: false });
  const optimizer = new optim.AdamW(model.namedParameters(), { weightDecay: 0 });
  for (let step = 0; step < 300; step++) {
    if (step % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1)); // the threads take turns
    tidy(() => {
      const x = F.randn([16, 1]);
      optimizer.zeroGrad();
      model.forward(x).mseLoss(x.mul(slope)).backward();
      optimizer.step(0.05);
    });
  }
  return { weight: model.weight.toNumbers()[0], tensors: memory().tensors };
`;

test("two workers train at once and share nothing", async () => {
  const workers = [start(training, 2), start(training, -3)];
  const answers = (await Promise.all(workers.map(({ answer }) => answer))) as { weight: number; tensors: number }[];
  expect(answers[0]!.weight).toBeCloseTo(2, 2);
  expect(answers[1]!.weight).toBeCloseTo(-3, 2);
  // The weight and the optimizer's three tensors: nothing of the other worker's.
  expect(answers.map(({ tensors }) => tensors)).toEqual([4, 4]);
  expect(await Promise.all(workers.map(({ ended }) => ended))).toEqual([0, 0]);
});

test("recording of gradients is each worker's own", async () => {
  const records = "F.ones([1]).setRequiresGrad(true).mul(2).requiresGrad";
  // The first stays inside of its noGrad until the second has answered.
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const off = start(`return noGrad(() => { Atomics.wait(workerData, 0, 0); return ${records}; })`, gate);
  const on = start(`return ${records}`);
  expect(await on.answer).toBe(true);
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  expect(await off.answer).toBe(false);
});

test("a worker that holds tensors is terminated cleanly, in the middle of its work", async () => {
  const { worker, answer } = start(`
    globalThis.held = Array.from({ length: 100 }, () => F.ones([1000]));
    setInterval(() => tidy(() => F.randn([50, 50]).matmul(F.randn([50, 50]))), 0);
    return memory().tensors;
  `);
  expect(await answer).toBe(100);
  expect(await worker.terminate()).toBe(1);
});
