import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { runtimeInfo } from "@asvr/torch";
import { ConfigError } from "asvr";

/** The Python that the peers run in. */
export interface Peer {
  python: string;
  /** As it names itself, "2.15.0+cpu". */
  torch: string;
}

const asking = `
import json, platform
try:
    import torch
    found = torch.__version__
except ModuleNotFoundError:
    found = None
print(json.dumps({"python": platform.python_version(), "torch": found}))
`;

/**
 * Looks for the peer: `PEER_PYTHON`, else `python3`, with torch of the version of our libtorch.
 * @throws ConfigError that says what was found and what to install
 */
export async function findPeer(): Promise<Peer> {
  const wanted = runtimeInfo().libtorch;
  const fromEnvironment = process.env.PEER_PYTHON;
  const python = fromEnvironment || "python3";
  const named = fromEnvironment ? `PEER_PYTHON (${python})` : "python3 (PEER_PYTHON is not set)";
  const advice =
    `The peer is Python with torch ${wanted}, the version of this libtorch: run \`pip install torch==${wanted}\` in an ` +
    "environment and set PEER_PYTHON to its python.";
  let found: { python: string; torch: string | null };
  try {
    const { stdout } = await promisify(execFile)(python, ["-c", asking]);
    found = JSON.parse(stdout) as typeof found;
  } catch (cause) {
    throw new ConfigError(`${named} cannot be run: ${(cause as Error).message.trim()}\n${advice}`, { cause });
  }
  if (found.torch === null) throw new ConfigError(`${named} is Python ${found.python} and has no torch. ${advice}`);
  if (release(found.torch) !== release(wanted)) {
    throw new ConfigError(`${named} is Python ${found.python} with torch ${found.torch}. ${advice}`);
  }
  return { python, torch: found.torch };
}

/** "2.15.0+cpu" and "2.15.0" are the same code, built for other devices. */
function release(version: string): string {
  return version.split("+")[0]!;
}
