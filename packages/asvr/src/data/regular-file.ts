import { closeSync } from "node:fs";
import { GIT_LFS_POINTER, openFile } from "@asvr/torch/files";
import { faultError } from "./faults.js";

/**
 * Refuses what can't be a file of data before it is read: a folder, a pipe that nobody writes to, a pointer of git-lfs.
 * What isn't there is left to whoever reads it.
 * @throws DataError not-a-file or git-lfs-pointer
 */
export function requireDataFile(file: string): void {
  try {
    closeSync(openFile(file).descriptor);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== undefined) return;
    const kind = message === GIT_LFS_POINTER ? "git-lfs-pointer" : "not-a-file";
    throw faultError({ file, index: -1, field: "", kind, message: `${message}.` });
  }
}
