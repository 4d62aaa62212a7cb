// Builds the addon with the C++ compiler directly: CMake is not on every machine.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SetupError } from "./libtorch.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const native = join(root, "native");
const build = join(root, "build");

/** Builds the addon against `libtorch`, or finds that it is built already. @returns {Promise<{addon: string, built: boolean}>} */
export async function buildAddon(libtorch, log) {
  const compiler = process.env.CXX ?? "g++";
  const headers = createRequire(import.meta.url)("node-api-headers").include_dir;
  const sources = readdirSync(native).filter((file) => file.endsWith(".cc"));
  const flags = [
    "-std=c++20",
    "-O2",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Werror",
    `-DASVR_LIBTORCH_VERSION="${libtorch.version}"`,
    "-isystem",
    join(libtorch.root, "include"),
    "-isystem",
    join(libtorch.root, "include", "torch", "csrc", "api", "include"),
    "-isystem",
    headers,
  ];
  const key = keyOf([compiler, process.platform, process.arch, ...flags, ...readdirSync(native)]);
  const addon = join(build, key, "asvr_torch.node");
  const built = !existsSync(addon);
  if (built) {
    log(`building the addon against libtorch ${libtorch.version} with ${compiler}`);
    const temporary = `${join(build, key)}.${process.pid}.partial`;
    mkdirSync(temporary, { recursive: true });
    const queue = [...sources];
    const objects = sources.map((source) => join(temporary, source.replace(".cc", ".o")));
    const worker = async () => {
      for (let source = queue.shift(); source; source = queue.shift()) {
        await run(compiler, [...flags, "-c", join(native, source), "-o", join(temporary, source.replace(".cc", ".o"))]);
      }
    };
    await Promise.all(Array.from({ length: Math.min(4, cpus().length) }, worker));
    const libraries = join(libtorch.root, "lib");
    const undefinedAtLink = process.platform === "darwin" ? ["-undefined", "dynamic_lookup"] : [];
    await run(compiler, [
      "-shared",
      ...undefinedAtLink,
      ...objects,
      `-L${libraries}`,
      `-Wl,-rpath,${libraries}`,
      "-ltorch_cpu",
      "-lc10",
      "-o",
      join(temporary, "asvr_torch.node"),
    ]);
    for (const object of objects) rmSync(object);
    rmSync(join(build, key), { recursive: true, force: true });
    renameSync(temporary, join(build, key));
  }
  writeFileSync(join(build, "current.json"), `${JSON.stringify({ addon, libtorch }, null, 2)}\n`);
  return { addon, built };
}

/** A build is known by its flags and by the contents of its sources. */
function keyOf(parts) {
  const hash = createHash("sha256").update(parts.join("\n"));
  for (const file of readdirSync(native).sort()) hash.update(readFileSync(join(native, file)));
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
