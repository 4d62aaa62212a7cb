import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { currentFile, packageRoot } from "../scripts/cache.mjs";
import type { TypedArray } from "./dtype.js";
import { LoadError } from "./errors.js";

/** What the addon knows of one operator. `arguments`: name, type, has a default, fixed size of an int list. */
export interface OperatorDescription {
  readonly schema: string;
  /** Takes its arguments by position: handles in the places of tensors, lengths in those of lists (lists.ts). */
  readonly call: (...args: unknown[]) => unknown;
  readonly arguments: readonly (readonly [name: string, type: string, hasDefault: boolean, fixedSize: number])[];
  readonly returns: readonly string[];
  /** For each result the argument that it is, where it is one (in-place, out=), or -1. */
  readonly aliases: readonly number[];
}

/** The addon's functions. Tensors cross as integers: handles into the table of this environment. */
export interface Native {
  findOperator(name: string, overload: string): OperatorDescription | null;
  listOperators(): string[];
  shareLists(lists: Float64Array): void;
  fromArray(array: TypedArray, dtype: number, shape: readonly number[]): number;
  copyToArray(tensor: number, array: TypedArray): void;
  copyFromArray(tensor: number, array: TypedArray): void;
  shape(tensor: number): number[];
  dtype(tensor: number): number;
  device(tensor: number): string;
  item(tensor: number): number;
  alignment(tensor: number): number;
  release(tensor: number): void;
  /** Frees the first `count` of `tensors`. */
  releaseMany(tensors: Int32Array, count: number): void;
  memory(): { tensors: number; bytes: number };
  backward(outputs: readonly number[], gradients: readonly number[] | null, retainGraph: boolean): void;
  grad(
    outputs: readonly number[],
    inputs: readonly number[],
    gradients: readonly number[] | null,
    retainGraph: boolean,
    createGraph: boolean,
  ): (number | null)[];
  withGradients(
    value: number,
    inputs: readonly number[],
    gradients: readonly number[],
    expected: number | null,
  ): number;
  gradEnabled(): boolean;
  gradientOf(tensor: number): number | null;
  setGradient(tensor: number, gradient: number | null): void;
  requiresGrad(tensor: number): boolean;
  setRequiresGrad(tensor: number, required: boolean): void;
  setGradEnabled(enabled: boolean): boolean;
  setThreads(count: number): void;
  threads(): number;
  manualSeed(seed: number): void;
  randomState(device: string): number;
  setRandomState(state: number, device: string): void;
  loadLibrary(path: string): string | null;
  runtime(): { libtorch: string; cuda: boolean; mps: boolean; cpuCapability: string };
}

export interface Build {
  addon: string;
  libtorch: { root: string; version: string; source: string };
}

// The command that every message of a failed load ends with. Where a package manager hides this package from npx, the
// second form works too.
const setupCommand = "`npx @asvr/torch setup`";
const setupProgram = `\`node ${join(packageRoot, "scripts", "setup.mjs")}\``;

/** What `setup` built last for this copy of the package. @throws LoadError when it never ran */
export function currentBuild(): Build {
  const file = currentFile();
  if (!existsSync(file)) {
    throw new LoadError(
      [
        "libtorch's addon has not been built yet for this copy of @asvr/torch, or not since its sources changed.",
        `  looked for   ${file}`,
        `  to build it  run ${setupCommand}`,
        `               or ${setupProgram};`,
        "               it needs python3 with pip (or LIBTORCH set to a libtorch folder) and a C++20 compiler (g++, or CXX).",
      ].join("\n"),
    );
  }
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Build;
  } catch (cause) {
    throw new LoadError(`${file} can't be read (${(cause as Error).message}). Delete it and run ${setupCommand}.`, {
      cause,
    });
  }
}

function load(): Native {
  const build = currentBuild();
  const holder = { exports: {} as Native };
  try {
    // Its symbols stay local: a process may hold another libtorch (a Python embedded elsewhere) beside ours.
    process.dlopen(holder, build.addon, constants.dlopen.RTLD_NOW);
  } catch (cause) {
    throw new LoadError(
      [
        "libtorch's addon could not be loaded.",
        `  addon     ${build.addon}${existsSync(build.addon) ? "" : "  (not there)"}`,
        `  libtorch  ${build.libtorch.root}${existsSync(build.libtorch.root) ? "" : "  (not there)"}, from ${build.libtorch.source}`,
        `  reason    ${cause instanceof Error ? cause.message : String(cause)}`,
        `  to do     libtorch was moved, removed or replaced since: run ${setupCommand} again.`,
        "            To use another one, set LIBTORCH to its folder first.",
      ].join("\n"),
      { cause },
    );
  }
  loadCuda(holder.exports, build);
  return holder.exports;
}

/** Why CUDA is not available, where a device is there but its library could not be loaded. */
export let cudaProblem: string | null = null;

/** The CUDA half of libtorch registers its kernels when it is loaded; only a machine with a device needs that. */
function loadCuda(addon: Native, build: Build): void {
  const library = join(build.libtorch.root, "lib", "libtorch_cuda.so");
  if (existsSync("/dev/nvidiactl") && existsSync(library)) cudaProblem = addon.loadLibrary(library);
}

export const native: Native = load();
