// Builds the addon with the C++ compiler directly: CMake is not on every machine.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { cacheFolder, currentFile, keyOf, makeFolder, native, packageRoot } from "./cache.mjs";
import { moveFolder } from "./libtorch.mjs";
import { SetupError } from "./setup-error.mjs";

/**
 * Builds the addon against `libtorch`, or finds that it is built already, and notes that this is the one to load.
 * A build is known by its compiler, flags and sources, so projects share it. Processes that do so at once do not disturb
 * each other: each builds apart, the first one's is kept.
 * @returns {Promise<{addon: string, built: boolean}>}
 */
export async function buildAddon(libtorch, log) {
  const compiler = process.env.CXX ?? "g++";
  const flags = compilerFlags(libtorch);
  const place = join(cacheFolder(), "addons", keyOf([compiler, process.platform, process.arch, ...flags]));
  const addon = join(place, "asvr_torch.node");
  const built = !existsSync(addon);
  if (built) {
    log(`building the addon against libtorch ${libtorch.version} with ${compiler}`);
    const temporary = `${place}.${process.pid}.partial`;
    makeFolder(temporary);
    try {
      await compile(compiler, [...flags, ...nodeHeaders()], join(libtorch.root, "lib"), temporary);
      moveFolder(temporary, place, addon);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  }
  note({ package: packageRoot, addon, libtorch });
  return { addon, built };
}

/** Leaves a note that says the same alone: whoever uses the cache of somebody else cannot write there. */
function note(build) {
  const file = currentFile();
  const text = `${JSON.stringify(build, null, 2)}\n`;
  if (existsSync(file) && readFileSync(file, "utf8") === text) return;
  makeFolder(dirname(file));
  writeFileSync(`${file}.${process.pid}`, text);
  renameSync(`${file}.${process.pid}`, file);
}

function compilerFlags(libtorch) {
  const include = join(libtorch.root, "include");
  return [
    "-std=c++20",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    // Not linked: threads are those of the OpenMP library that libtorch brings.
    ...(process.platform === "linux" ? ["-fopenmp"] : []),
    "-Wall",
    "-Wextra",
    // In the CI of a clone only: a newer compiler may warn of something new, and that must not stop a user.
    ...(process.env.CI && !packageRoot.includes("node_modules") ? ["-Werror"] : []),
    `-DASVR_LIBTORCH_VERSION="${libtorch.version}"`,
    ...[include, join(include, "torch", "csrc", "api", "include")].flatMap((path) => ["-isystem", path]),
  ];
}

/** Not part of a build's name: they lie in every project, and their interface is stable. */
function nodeHeaders() {
  return ["-isystem", createRequire(import.meta.url)("node-api-headers").include_dir];
}

/** Compiles every source, some at once, and links them to `folder/asvr_torch.node`. */
async function compile(compiler, flags, libraries, folder) {
  const sources = readdirSync(native).filter((file) => file.endsWith(".cc"));
  const objects = sources.map((source) => join(folder, source.replace(".cc", ".o")));
  const queue = [...sources.keys()];
  const worker = async () => {
    for (let i = queue.shift(); i !== undefined; i = queue.shift()) {
      await run(compiler, [...flags, "-c", join(native, sources[i]), "-o", objects[i]]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, cpus().length) }, worker));
  const undefinedAtLink = process.platform === "darwin" ? ["-undefined", "dynamic_lookup"] : [];
  const output = ["-o", join(folder, "asvr_torch.node")];
  const link = [`-L${libraries}`, `-Wl,-rpath,${libraries}`, "-ltorch_cpu", "-lc10"];
  await run(compiler, ["-shared", ...undefinedAtLink, ...objects, ...link, ...output]);
  for (const object of objects) rmSync(object);
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", 2, 2] });
    child.on("error", (error) =>
      reject(
        new SetupError(
          `${command} did not start (${error.message}). Install a C++20 compiler (Debian: apt install g++; macOS: xcode-select --install), or set CXX.`,
        ),
      ),
    );
    child.on("exit", (status) =>
      status === 0
        ? resolve()
        : reject(new SetupError(`${command} failed with status ${status}; its messages are above.`)),
    );
  });
}
