// Builds the addon with the C++ compiler directly: CMake is not on every machine.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { moveFolder, SetupError } from "./libtorch.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const native = join(root, "native");

/**
 * Builds the addon against `libtorch`, or finds that it is built already, and notes in `build/current.json` that this is
 * the one to load. Processes that do so at once do not disturb each other: each builds apart, the first one's is kept.
 * @returns {Promise<{addon: string, built: boolean}>}
 */
export async function buildAddon(libtorch, log, build = join(root, "build")) {
  const compiler = process.env.CXX ?? "g++";
  const flags = compilerFlags(libtorch);
  const place = join(build, keyOf([compiler, process.platform, process.arch, ...flags]));
  const addon = join(place, "asvr_torch.node");
  const built = !existsSync(addon);
  if (built) {
    log(`building the addon against libtorch ${libtorch.version} with ${compiler}`);
    const temporary = `${place}.${process.pid}.partial`;
    mkdirSync(temporary, { recursive: true });
    try {
      await compile(compiler, flags, join(libtorch.root, "lib"), temporary);
      moveFolder(temporary, place, addon);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  }
  const current = join(build, "current.json");
  writeFileSync(`${current}.${process.pid}`, `${JSON.stringify({ addon, libtorch }, null, 2)}\n`);
  renameSync(`${current}.${process.pid}`, current);
  return { addon, built };
}

function compilerFlags(libtorch) {
  const headers = createRequire(import.meta.url)("node-api-headers").include_dir;
  const include = join(libtorch.root, "include");
  return [
    "-std=c++20",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    // A newer compiler may warn of something new in libtorch's headers: that must not stop a user.
    ...(process.env.CI ? ["-Werror"] : []),
    `-DASVR_LIBTORCH_VERSION="${libtorch.version}"`,
    ...[include, join(include, "torch", "csrc", "api", "include"), headers].flatMap((path) => ["-isystem", path]),
  ];
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

/** A build is known by its compiler, its flags and the contents of its sources. */
function keyOf(parts) {
  const hash = createHash("sha256").update(parts.join("\n"));
  for (const file of readdirSync(native).sort()) hash.update(file).update(readFileSync(join(native, file)));
  return hash.digest("hex").slice(0, 16);
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
