// Finds libtorch, or installs a private copy of it. Plain JavaScript: it runs before anything is built.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { cacheFolder, makeFolder } from "./cache.mjs";
import { pathFrom } from "./expand-path.mjs";
import { SetupError } from "./setup-error.mjs";

/** The version that a private copy gets, and with which every figure of this project was made. */
export const PINNED = "2.15.0";
/** Other versions whose C++ interface the addon is known to build against and pass its tests with. */
const SUPPORTED = /^2\.15\./;

// The Linux x64 wheel is a CUDA build: its CPU half needs these two libraries beside it and no other CUDA package.
const CUDA_STUBS = ["nvidia-cuda-runtime==13.2.86", "nvidia-cuda-cupti==13.2.86"];

/**
 * @typedef {{ root: string, version: string, source: string }} Libtorch
 * `root` holds `include/` and `lib/`; `source` says in words where it comes from.
 */

/**
 * Tries, in order: LIBTORCH, the torch of python3, a private copy installed earlier.
 * @returns {{found?: Libtorch, tried: string[]}}
 * @throws SetupError when LIBTORCH is set to something else than a libtorch: what was asked for is not passed over
 */
export function findLibtorch() {
  const tried = [];
  const named = pathFrom("LIBTORCH");
  if (named) {
    const root = resolve(named);
    const missing = missingIn(root);
    if (missing) {
      throw new SetupError(
        `LIBTORCH is ${root}, but there is no ${missing} in it. Set it to a folder that has include/ and lib/ ` +
          "(an unpacked libtorch, or the torch folder of a Python installation), or unset it.",
      );
    }
    return { found: { root, version: versionOf(root) ?? "unknown", source: "LIBTORCH" }, tried };
  }
  tried.push("LIBTORCH: not set");

  const python = pythonTorch();
  if (python.root) return { found: { root: python.root, version: python.version, source: python.source }, tried };
  tried.push(`python3: ${python.reason}`);

  const root = join(privateFolder(), "torch");
  if (!missingIn(root)) return { found: { root, version: versionOf(root) ?? PINNED, source: "a private copy" }, tried };
  tried.push(`private copy: not at ${root}`);
  return { tried };
}

/** Whether the addon is known to work with a version. */
export function isSupported(version) {
  return SUPPORTED.test(version);
}

/** Installs the pinned version with pip into the private folder. Takes about 20 s and 1.3 GB. @returns {Libtorch} */
export function installLibtorch(log) {
  const target = privateFolder();
  const temporary = `${target}.${process.pid}.partial`;
  const stubs = process.platform === "linux" && process.arch === "x64" ? CUDA_STUBS : [];
  log(`installing libtorch ${PINNED} into ${target} (about 1.3 GB on Linux, once)`);
  makeFolder(cacheFolder());
  rmSync(temporary, { recursive: true, force: true });
  makeFolder(temporary);
  const pip = spawnSync(
    "python3",
    [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--no-deps",
      "--no-compile",
      "--target",
      temporary,
      `torch==${PINNED}`,
      ...stubs,
    ],
    {
      stdio: ["ignore", 2, 2],
      env: { ...process.env, PIP_ROOT_USER_ACTION: "ignore", PIP_DISABLE_PIP_VERSION_CHECK: "1" },
    },
  );
  if (pip.status !== 0) {
    rmSync(temporary, { recursive: true, force: true });
    throw new SetupError(
      `pip could not install torch ${PINNED} (${pip.error ? `python3 did not start: ${pip.error.message}` : `status ${pip.status}, its messages are above`}). ` +
        "It needs python3 with pip (Debian: apt install python3-pip) and a network. Or install a supported torch for python3 yourself, or unpack libtorch and set LIBTORCH to its folder, then run this again.",
    );
  }
  moveFolder(temporary, target, join(target, "torch", "include", "ATen"));
  rmSync(temporary, { recursive: true, force: true });
  return { root: join(target, "torch"), version: PINNED, source: "a private copy" };
}

function privateFolder() {
  return join(cacheFolder(), `libtorch-${PINNED}`);
}

/** Looks for the package without importing it: an import takes seconds. */
function pythonTorch() {
  const script =
    "import importlib.util as u, sys; s = u.find_spec('torch'); print(sys.executable); print(s.submodule_search_locations[0] if s else '')";
  const python = spawnSync("python3", ["-c", script], { encoding: "utf8" });
  if (python.status !== 0) return { reason: python.error ? "not found" : "could not be asked" };
  const [executable, root] = python.stdout.split("\n");
  if (!root) return { reason: "has no torch" };
  const version = versionOf(root) ?? "of an unknown version";
  if (!isSupported(version)) return { reason: `torch ${version} is not a supported version` };
  const missing = missingIn(root);
  if (missing) return { reason: `torch ${version} at ${root} has no ${missing}` };
  return { root, version, source: `the torch of ${executable}` };
}

/** What a folder lacks to build and run against it, or undefined. */
function missingIn(root) {
  return [join("include", "ATen"), "lib"].find((part) => !existsSync(join(root, part)));
}

/**
 * Puts a finished folder in its place in one step. Where another process has put one there meanwhile, that one stays.
 * @param proof a path in `target` that is there when `target` is complete
 */
export function moveFolder(finished, target, proof) {
  if (!existsSync(proof)) rmSync(target, { recursive: true, force: true });
  try {
    renameSync(finished, target);
  } catch (error) {
    if (!existsSync(proof)) throw error;
  }
}

function versionOf(root) {
  for (const [file, pattern] of [
    ["version.py", /__version__ = ['"]([^'"+]+)/],
    ["build-version", /^([0-9.]+)/],
  ]) {
    const path = join(root, file);
    if (existsSync(path)) return pattern.exec(readFileSync(path, "utf8"))?.[1];
  }
  return undefined;
}
