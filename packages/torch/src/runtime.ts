import { LoadError, TorchError } from "./errors.js";
import { asTorch } from "./invoke.js";
import { cudaProblem, currentBuild, native } from "./native.js";
import { type Device, Tensor } from "./tensor.js";

const MOST_THREADS = 1024;

/**
 * Threads that one operator may use. More than the cores of the machine slows it down.
 * @throws TorchError for what is no whole number from 1 to 1024: a process that cannot start them dies
 */
export function setThreads(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > MOST_THREADS) {
    throw new TorchError(`setThreads(${count}): a whole number from 1 to ${MOST_THREADS} is needed`);
  }
  native.setThreads(count);
}

/** Threads that one operator may use now. */
export function threads(): number {
  return native.threads();
}

/**
 * Seeds libtorch's default generators (initialisations, dropout).
 * @throws TorchError for what is no whole number of 64 bits
 */
export function manualSeed(seed: number): void {
  if (!Number.isInteger(seed) || Math.abs(seed) >= 2 ** 63) {
    throw new TorchError(`manualSeed(${String(seed)}): a whole number of 64 bits is needed`);
  }
  native.manualSeed(seed);
}

/**
 * The state of the generator that operators on a device draw from: what a checkpoint keeps so that a resumed run draws
 * the same numbers.
 * @returns uint8, in host memory
 * @throws TorchError for a device that is not there
 */
export function randomState(device: Device = "cpu"): Tensor {
  return asTorch("randomState", () => new Tensor(native.randomState(device)));
}

/**
 * Takes up a state of `randomState`: the numbers that followed it are drawn again.
 * @throws TorchError for no state, or a device that is not there
 */
export function setRandomState(state: Tensor, device: Device = "cpu"): void {
  asTorch("setRandomState", () => {
    if (device === "cpu") requirePosition(state);
    native.setRandomState(state.handle, device);
  });
}

/** Of libtorch's 624 numbers `left` are left from `next` on. It checks each of the two alone, and would read past them. */
function requirePosition(state: Tensor): void {
  if (state.dtype !== "uint8" || state.device !== "cpu" || state.elementCount < 24) return; // refused by libtorch
  const { buffer } = state.data() as Uint8Array<ArrayBuffer>;
  const [left, next] = [new DataView(buffer).getInt32(8, true), new DataView(buffer).getUint32(16, true)];
  if (left + next > 625) throw new TorchError(`setRandomState: no generator is at ${next} with ${left} numbers left`);
}

/**
 * Tensors that JavaScript holds in this thread, and the bytes of their storages (a shared storage counts once).
 * @group Memory
 */
export function memory(): { tensors: number; bytes: number } {
  return native.memory();
}

/** The device that tests and commands use: ASVR_DEVICE, or "cpu". @throws LoadError when it is not there */
export function defaultDevice(): string {
  const device = process.env.ASVR_DEVICE || "cpu";
  const [, kind] = /^(cpu|cuda|mps)(?::\d+)?$/.exec(device) ?? [];
  if (kind === undefined)
    throw new LoadError(`ASVR_DEVICE is ${device}, which is no device: use cpu, cuda, cuda:1 or mps.`);
  if (kind !== "cpu" && !native.runtime()[kind as "cuda" | "mps"]) {
    const why = kind === "cuda" && cudaProblem ? ` (${cudaProblem})` : "";
    throw new LoadError(
      `ASVR_DEVICE is ${device}, but libtorch finds no such device here${why}: unset it to use the CPU.`,
    );
  }
  return device;
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
