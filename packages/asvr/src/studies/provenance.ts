import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runtimeInfo } from "@asvr/torch";

/** Versions on which the numbers of a run depend. */
export function versions(): { node: string; libtorch: string } {
  const { libtorch, source } = runtimeInfo();
  return { node: process.version, libtorch: `${libtorch} (${source})` };
}

/** Of the clone that this code was compiled in, with a mark where files differ from it; nothing in an installed package. */
export async function revision(): Promise<{ revision?: string }> {
  const git = async (...args: string[]) =>
    (await promisify(execFile)("git", args, { cwd: fileURLToPath(new URL("../..", import.meta.url)) })).stdout.trim();
  try {
    await git("ls-files", "--error-unmatch", "package.json"); // not the clone of a project that merely uses this one
    const changed = await git("status", "--porcelain", "--untracked-files=no");
    return { revision: `${await git("rev-parse", "--short", "HEAD")}${changed ? " with changes" : ""}` };
  } catch {
    return {};
  }
}
