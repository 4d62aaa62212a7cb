// Finds libtorch, or installs a private copy of it. Plain JavaScript: it runs before anything is built.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** The version that a private copy gets, and with which every figure of this project was made. */
export const PINNED = "2.15.0";
/** Other versions whose C++ interface the addon is known to build against and pass its tests with. */
const SUPPORTED = /^2\.15\./;

// The Linux x64 wheel is a CUDA build: its CPU half needs these two libraries beside it and no other CUDA package.
const CUDA_STUBS = ["nvidia-cuda-runtime==13.2.86", "nvidia-cuda-cupti==13.2.86"];

export class SetupError extends Error {
  name = "SetupError";
}

/**
 * @typedef {{ root: string, version: string, source: string }} Libtorch
 * `root` holds `include/` and `lib/`; `source` says in words where it comes from.
 */

/** Tries, in order: LIBTORCH, the torch of python3, a private copy installed earlier. @returns {{found?: Libtorch, tried: string[]}} */
export function findLibtorch() {
  const tried = [];
  if (process.env.LIBTORCH) {
    const root = process.env.LIBTORCH;
    const version = versionOf(root);
    if (!existsSync(join(root, "include", "ATen"))) {
      throw new SetupError(
        `LIBTORCH is ${root}, but there is no include/ATen in it. Set it to a folder that has include/ and lib/ ` +
          "(an unpacked libtorch, or the torch folder of a Python installation), or unset it.",
      );
    }
    return { found: { root, version: version ?? "unknown", source: "LIBTORCH" }, tried };
  }
  tried.push("LIBTORCH: not set");

  const python = pythonTorch();
  if (python.root && SUPPORTED.test(python.version)) {
    return { found: { root: python.root, version: python.version, source: `the torch of ${python.python}` }, tried };
  }
  tried.push(`python3: ${python.root ? `torch ${python.version} is not a supported version` : python.reason}`);

  const root = join(privateFolder(), "torch");
  if (existsSync(join(root, "version.py"))) {
    return { found: { root, version: versionOf(root) ?? PINNED, source: "a private copy" }, tried };
  }
  tried.push(`private copy: not at ${root}`);
  return { tried };
}

/** Installs the pinned version with pip into the private folder. Takes about 20 s and 1.3 GB. @returns {Libtorch} */
export function installLibtorch(log) {
  const target = privateFolder();
  const temporary = `${target}.${process.pid}.partial`;
  const stubs = process.platform === "linux" && process.arch === "x64" ? CUDA_STUBS : [];
  log(`installing libtorch ${PINNED} into ${target} (about 1.3 GB on Linux, once)`);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
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
      `pip could not install torch ${PINNED} (${pip.error?.message ?? `status ${pip.status}`}). ` +
        "Install a supported torch for python3 yourself, or unpack libtorch and set LIBTORCH to its folder, then run this again.",
    );
  }
  rmSync(target, { recursive: true, force: true });
  renameSync(temporary, target);
  return { root: join(target, "torch"), version: PINNED, source: "a private copy" };
}

function privateFolder() {
  const cache = process.env.ASVR_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "asvr");
  return join(cache, `libtorch-${PINNED}`);
}

/** Looks for the package without importing it: an import takes seconds. */
function pythonTorch() {
  const script =
    "import importlib.util as u, sys; s = u.find_spec('torch'); print(sys.executable); print(s.submodule_search_locations[0] if s else '')";
  try {
    const [python, root] = execFileSync("python3", ["-c", script], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).split("\n");
    if (!root) return { reason: "has no torch" };
    return { python, root, version: versionOf(root) ?? "of an unknown version" };
  } catch {
    return { reason: "not found" };
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
