import { cudaProblem, currentBuild, native } from "./native.js";
import { Tensor } from "./tensor.js";

/** Threads that one operator may use. More than the cores of the machine slows it down. */
export function setThreads(count: number): void {
  native.setThreads(count);
}

/** Threads that one operator may use now. */
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

/** Takes up a state of `randomState`: the numbers that followed it are drawn again. @throws TorchError */
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

/** What `runtimeInfo` says. */
export interface RuntimeInfo {
  /** libtorch's version. */
  readonly libtorch: string;
  /** The folder of libtorch. */
  readonly root: string;
  /** In words, where that folder comes from: "LIBTORCH", "the torch of …", "a private copy". */
  readonly source: string;
  /** Whether tensors can be on such a device here. */
  readonly cuda: boolean;
  readonly mps: boolean;
  /** Why CUDA is not available although a device is there; null otherwise. */
  readonly cudaProblem: string | null;
  /** The widest vector instructions that libtorch uses, as "AVX2". */
  readonly cpuCapability: string;
  /** Threads that one operator may use now. */
  readonly threads: number;
}

/** What is loaded, from where, and what it can do. */
export function runtimeInfo(): RuntimeInfo {
  const { libtorch } = currentBuild();
  return { ...native.runtime(), root: libtorch.root, source: libtorch.source, cudaProblem, threads: native.threads() };
}
