import { cudaProblem, currentBuild, native } from "./native.js";
import { Tensor } from "./tensor.js";

/** Threads that one operator may use. More than the cores of the machine slows it down. */
export function setThreads(count: number): void {
  native.setThreads(count);
}

export function threads(): number {
  return native.threads();
}

/** Seeds libtorch's default generators (initialisations, dropout). */
export function manualSeed(seed: number): void {
  native.manualSeed(seed);
}

/** The state of the CPU generator, uint8: what a checkpoint keeps so that a resumed run draws the same numbers. */
export function randomState(): Tensor {
  return new Tensor(native.randomState());
}

export function setRandomState(state: Tensor): void {
  native.setRandomState(state.handle);
}

/** Tensors that JavaScript holds in this thread, and the bytes of their storages (a shared storage counts once). */
export function memory(): { tensors: number; bytes: number } {
  return native.memory();
}

/** The device that tests and commands use: ASVR_DEVICE, or "cpu". */
export function defaultDevice(): string {
  return process.env.ASVR_DEVICE ?? "cpu";
}

/** What is loaded, from where, and what it can do. */
export function runtimeInfo() {
  const { libtorch } = currentBuild();
  return { ...native.runtime(), root: libtorch.root, source: libtorch.source, cudaProblem, threads: native.threads() };
}
