import { spawnSync } from "node:child_process";
import { TRANSFORMERS } from "./model-card.js";

/** A Python with a version of transformers that opens what we write. */
export interface Peer {
  /** For the names of tests, which are all that a skipped one says. */
  readonly name: string;
  /** Undefined where this machine has none. */
  readonly python: string | undefined;
}

const needs = `
import importlib.metadata as m, importlib.util as u, sys
isThere = all(map(u.find_spec, ["transformers", "torch", "PIL"])) and m.version("transformers").startswith(sys.argv[1])
sys.exit(not isThere)
`;

/** @param version what the version begins with; another counts as none */
function peer(name: string, python: string | undefined, version: string): Peer {
  const isThere = Boolean(python) && spawnSync(python!, ["-c", needs, version]).status === 0;
  return { name, python: isThere ? python : undefined };
}

/** The newest and the oldest version that we promise; for the former any other serves too. */
export const newest = peer("transformers (needs PEER_PYTHON)", process.env.PEER_PYTHON ?? "python3", "");
export const oldest = peer(
  `transformers ${TRANSFORMERS.oldest} (needs PEER_PYTHON_OLDEST)`,
  process.env.PEER_PYTHON_OLDEST,
  TRANSFORMERS.oldest,
);

/** What a script prints. @throws Error with its error output */
export function runPython(python: string, script: string, args: readonly string[]): string {
  const made = spawnSync(python, ["-W", "ignore", "-c", script, ...args], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
  return made.stdout;
}
