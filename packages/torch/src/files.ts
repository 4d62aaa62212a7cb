/**
 * Files as both packages open them: nothing but regular files, none larger than it may be, and pointers of git-lfs are
 * known for what they are.
 * @module
 */
import { closeSync, constants, fstatSync, openSync, type Stats } from "node:fs";
import { readBytes } from "./read-bytes.js";

export { expandPath, pathFrom, userCache } from "../scripts/expand-path.mjs";

/** A regular file, opened for reading; whoever opened it closes it. */
export interface OpenedFile {
  readonly descriptor: number;
  readonly bytes: number;
}

/**
 * Opens a file for reading without waiting: a named pipe that nobody writes to would hold the program for ever.
 * @throws Error for a folder, a pipe or a device, and for a pointer of git-lfs; the file system's own errors
 */
export function openFile(path: string): OpenedFile {
  const descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) throw new Error(`it is ${kindOf(stats)}, not a file`);
    if (stats.size < LONGEST_POINTER) requireNoPointer(readBytes(descriptor, 0, POINTER_START.length));
    return { descriptor, bytes: stats.size };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/**
 * The whole content of a file.
 * @param mostBytes a larger file is refused before it is read
 * @throws Error as `openFile`, and for a file that is too large
 */
export function readWholeFile(path: string, mostBytes: number = 1 << 28): Buffer {
  const { descriptor, bytes } = openFile(path);
  try {
    if (bytes > mostBytes) throw new Error(`it has ${bytes} bytes, ${mostBytes} are allowed`);
    return readBytes(descriptor, 0, bytes);
  } finally {
    closeSync(descriptor);
  }
}

/** What a clone without git-lfs has in the place of a large file begins with this. */
const POINTER_START = "version https://git-lfs";
/** The specification's own limit. */
const LONGEST_POINTER = 1024;

/** Whether a file that begins like this is a pointer of git-lfs instead of what it should be. */
export function isGitLfsPointer(first: Uint8Array): boolean {
  return Buffer.from(first.buffer, first.byteOffset, first.byteLength).toString("latin1", 0, 23) === POINTER_START;
}

/** What to do about a pointer of git-lfs. */
export const GIT_LFS_POINTER = "it is a pointer of git-lfs, not the file itself: `git lfs pull` fetches it";

function requireNoPointer(first: Uint8Array): void {
  if (isGitLfsPointer(first)) throw new Error(GIT_LFS_POINTER);
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return "a folder";
  if (stats.isFIFO()) return "a named pipe";
  if (stats.isSocket()) return "a socket";
  return "a device";
}
