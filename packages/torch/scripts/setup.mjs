// Everything native that this package needs, once: libtorch and the addon. `node scripts/setup.mjs`, or import { setup }.
import { pathToFileURL } from "node:url";
import { buildAddon } from "./addon.mjs";
import { findLibtorch, installLibtorch, isSupported, PINNED } from "./libtorch.mjs";

/**
 * Finds libtorch (LIBTORCH, then python3's, then a private copy), installs it if it is nowhere, and builds the addon
 * unless that build exists. The second call does nothing.
 */
export async function setup(log = (line) => process.stderr.write(`[setup] ${line}\n`)) {
  const { found, tried } = findLibtorch();
  if (!found) for (const line of tried) log(line);
  const libtorch = found ?? installLibtorch(log);
  if (!isSupported(libtorch.version)) {
    log(`libtorch ${libtorch.version} of ${libtorch.source} is not a version this was tested with (that is ${PINNED})`);
  }
  const { addon, built } = await buildAddon(libtorch, log);
  log(`libtorch ${libtorch.version} from ${libtorch.source}; addon ${built ? "built" : "already built"}`);
  return { libtorch, addon };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  setup().catch((error) => {
    process.stderr.write(`[setup] ${error.name === "SetupError" ? error.message : error.stack}\n`);
    process.exitCode = 1;
  });
}
