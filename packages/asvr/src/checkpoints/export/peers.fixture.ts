import { spawnSync } from "node:child_process";
import { TRANSFORMERS } from "./model-card.js";

/** A Python with a version of transformers that opens what we write. */
export interface Peer {
  /** For the names of tests, which are all that a skipped one says. */
  readonly name: string;
  /** Undefined where this machine has none. */
  readonly python: string | undefined;
}

const needs = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ['transformers', 'torch', 'PIL'])))";

function peer(version: string, variable: string, python: string | undefined): Peer {
  const isThere = python !== undefined && spawnSync(python, ["-c", needs]).status === 0;
  return { name: `transformers ${version} (needs ${variable})`, python: isThere ? python : undefined };
}

/** The newest and the oldest version that we promise. */
export const newest = peer(TRANSFORMERS.newest, "PEER_PYTHON", process.env.PEER_PYTHON ?? "python3");
export const oldest = peer(TRANSFORMERS.oldest, "PEER_PYTHON_OLDEST", process.env.PEER_PYTHON_OLDEST);

/** What a script prints. @throws Error with its error output */
export function runPython(python: string, script: string, args: readonly string[]): string {
  const made = spawnSync(python, ["-W", "ignore", "-c", script, ...args], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
  return made.stdout;
}
