import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readText, writeJson } from "../files.js";
import { RunFolderError } from "./run-folder.js";

const partRecord = z.object({
  name: z.string(),
  /** Of all that the part was made from: equal prints mean equal parts. */
  fingerprint: z.string(),
  /** What its builder read of the recipe; parts of earlier versions do not say it. */
  reads: z.unknown().optional(),
  state: z.enum(["started", "done"]),
  /** Wall seconds over all processes that worked on it, as far as they could save. */
  seconds: z.number().nonnegative(),
  detail: z.string().optional(),
});
/** `parts/NAME.json`: how far a part of a study is, and from what it is made. */
export interface PartRecord extends z.infer<typeof partRecord> {}

/** @returns undefined for a part that was not begun. @throws RunFolderError for a file that says something else */
export async function readPart(folder: string, name: string): Promise<PartRecord | undefined> {
  const file = join(folder, "parts", `${name}.json`);
  if (!existsSync(file)) return undefined;
  const text = readText(file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new RunFolderError(`${file}: ${(error as Error).message}`, { cause: error });
  }
  const result = partRecord.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => `${path.join(".") || "the whole"}: ${message}`);
  throw new RunFolderError(`${file}: ${problems.join("; ")}. Delete it, and the part is made again.`);
}

export async function writePart(folder: string, record: PartRecord): Promise<void> {
  await mkdir(join(folder, "parts"), { recursive: true });
  await writeJson(join(folder, "parts", `${record.name}.json`), partRecord.parse(record));
}
