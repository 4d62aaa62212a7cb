// Where the set-up keeps what it makes: not in the package's own folder, which may be read-only, which `npm ci` deletes,
// and whose files a package manager may share between projects.
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { pathFrom, userCache } from "./expand-path.mjs";
import { SetupError } from "./setup-error.mjs";

export const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));
/** The addon's sources. */
export const native = join(packageRoot, "native");

/** ASVR_CACHE, or `asvr` in the user's folder for caches. */
export function cacheFolder() {
  return resolve(pathFrom("ASVR_CACHE") ?? join(userCache(), "asvr"));
}

/**
 * The note of which addon and libtorch this copy of the package loads. Its name has the copy's place, since two projects
 * may use two libtorches, and the addon's sources: after an update of the package the set-up is due again.
 */
export function currentFile() {
  return join(cacheFolder(), "current", `${hashOf([packageRoot, ...sources()])}.json`);
}

/** What was built last for this copy of the package, also where the sources have changed since. */
export function latestBuild() {
  const folder = join(cacheFolder(), "current");
  const notes = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".json")) : [];
  const builds = notes
    .map((name) => ({
      at: statSync(join(folder, name)).mtimeMs,
      ...JSON.parse(readFileSync(join(folder, name), "utf8")),
    }))
    .filter((build) => build.package === packageRoot && existsSync(build.addon));
  if (builds.length === 0) throw new SetupError("nothing has been built here yet: run the set-up");
  return builds.sort((a, b) => b.at - a.at)[0];
}

/** The name of something that depends on `parts` and on the addon's sources. */
export function keyOf(parts) {
  return hashOf([...parts, ...sources()]);
}

/** @throws SetupError where the cache cannot be written */
export function makeFolder(path) {
  try {
    mkdirSync(path, { recursive: true });
    accessSync(path, constants.W_OK);
  } catch (error) {
    throw new SetupError(`${path} cannot be written (${error.code}). Set ASVR_CACHE to a folder that can be.`);
  }
}

function sources() {
  return readdirSync(native)
    .sort()
    .flatMap((file) => [file, readFileSync(join(native, file))]);
}

function hashOf(parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\n");
  return hash.digest("hex").slice(0, 16);
}
