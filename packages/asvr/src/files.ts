import { rename, writeFile } from "node:fs/promises";

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
