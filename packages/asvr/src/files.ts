import { rename, writeFile } from "node:fs/promises";
import { type OpenedFile, openFile, readWholeFile } from "@asvr/torch/files";
import { ConfigError } from "./errors.js";

let writes = 0;

/** Writes a text under a temporary name and renames it: the file is whole or, after a crash, the one before. */
export async function writeWhole(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}-${writes++}.partial`;
  await writeFile(temporary, text, { flush: true });
  await rename(temporary, file);
}

/** Writes a value as indented JSON with `writeWhole`. */
export function writeJson(file: string, value: unknown): Promise<void> {
  return writeWhole(file, `${JSON.stringify(value, null, 2)}\n`);
}

/** The longest text that is read whole: JavaScript has no longer strings. */
const MOST_BYTES = 2 ** 29 - 32;

/**
 * The whole text of a file.
 * @throws ConfigError for what is no file or too large; the file system's own errors, as ENOENT
 */
export function readText(file: string): string {
  return named(file, () => readWholeFile(file, MOST_BYTES).toString("utf8"));
}

/** Opens a file to be read in pieces. @throws ConfigError for what is no file; the file system's own errors */
export function openToRead(file: string): OpenedFile {
  return named(file, () => openFile(file));
}

function named<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== undefined) throw error; // it names the path
    throw new ConfigError(`${file}: ${(error as Error).message}`, { cause: error });
  }
}
