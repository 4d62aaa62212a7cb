import { randomUUID } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ConfigError } from "../errors.js";

/**
 * Makes a folder whole or not at all: `write` fills one with a temporary name beside it, whose files are then forced to
 * the disk, and which is renamed. Its mode is as the umask says.
 * @throws ConfigError when `out` exists and is not an empty folder
 */
export async function makeWhole(out: string, write: (folder: string) => Promise<void>): Promise<void> {
  const target = resolve(out);
  requireFree(target);
  await mkdir(dirname(target), { recursive: true });
  const temporary = join(dirname(target), `.${basename(target)}-${randomUUID()}`);
  await mkdir(temporary); // not mkdtemp, whose folders no other user may open
  try {
    await write(temporary);
    for (const name of await readdir(temporary)) await sync(join(temporary, name));
    await sync(temporary);
    if (existsSync(target)) await rmdir(target);
    await rename(temporary, target);
    await sync(dirname(target));
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** @throws ConfigError when something is there */
export function requireFree(out: string): void {
  if (!existsSync(out)) return;
  let names: string[];
  try {
    names = readdirSync(out);
  } catch (cause) {
    throw new ConfigError(`--out ${out} is no folder`, { cause });
  }
  if (names.length > 0) throw new ConfigError(`--out ${out} is not empty: name a new folder`);
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  await handle.sync();
  await handle.close();
}
