// Everything native that this package needs, once: libtorch and the addon. `node scripts/setup.mjs`, or import { setup }.
import { existsSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildAddon } from "./addon.mjs";
import { findLibtorch, installLibtorch, isSupported, PINNED } from "./libtorch.mjs";

export { cacheFolder } from "./cache.mjs";

/**
 * Finds libtorch (LIBTORCH, then python3's, then a private copy), installs it if it is nowhere, and builds the addon
 * unless that build exists. The second call does nothing.
 * @returns {Promise<{libtorch: import("./libtorch.mjs").Libtorch, installed: boolean, addon: string, built: boolean}>}
 * @throws SetupError when something is missing; the message says what to do
 */
export async function setup(log = logged) {
  const { found, tried } = findLibtorch();
  if (!found) for (const line of tried) log(line);
  const libtorch = found ?? installLibtorch(log);
  if (!isSupported(libtorch.version)) {
    log(`libtorch ${libtorch.version} of ${libtorch.source} is not a version this was tested with (that is ${PINNED})`);
  }
  return { libtorch, installed: !found, ...(await buildAddon(libtorch, log)) };
}

/** What a set-up came to, in words: three lines. */
export function summaryOf({ libtorch, installed, addon, built }) {
  const done = [...(installed ? ["libtorch was installed"] : []), ...(built ? ["the addon was built"] : [])];
  return [
    done.join(", ") || "nothing to do: libtorch and the addon are there",
    `  libtorch  ${libtorch.version}, ${libtorch.source}: ${libtorch.root}`,
    `  addon     ${addon}`,
  ].join("\n");
}

/** The set-up as a program. @param {string[]} args */
export async function main(args) {
  try {
    const { values } = parseArgs({ args, options: { json: { type: "boolean" } } });
    const result = await setup();
    process.stdout.write(`${values.json ? JSON.stringify(result, null, 2) : summaryOf(result)}\n`);
  } catch (error) {
    const isWrongCall = error.code?.startsWith("ERR_PARSE_ARGS");
    logged(isWrongCall || error.name === "SetupError" ? error.message : error.stack);
    process.exitCode = isWrongCall ? 2 : 1;
  }
}

function logged(line) {
  process.stderr.write(`[setup] ${line}\n`);
}

// The real path: a package manager may have linked this file.
const [, program = "", ...args] = process.argv;
if (existsSync(program) && realpathSync(program) === fileURLToPath(import.meta.url)) await main(args);
