import { realpathSync, statSync } from "node:fs";
import { isAbsolute, join, sep, win32 } from "node:path";
import type { FaultKind } from "../fault.js";
import { faultError, quoted } from "./faults.js";

const realFolders = new Map<string, string>(); // looked up once, not for every picture

/**
 * The file of a picture, kept inside its folder: data from elsewhere must not be able to name any file of this machine.
 * @param image the path that a record gives
 * @returns an absolute path without symbolic links
 * @throws DataError absolute-path, path-escape, symlink-escape or missing-image
 */
export function resolveImage(folder: string, image: string): string {
  const refuse = (kind: FaultKind, message: string) => faultError({ file: image, index: -1, field: "", kind, message });
  if (isAbsolute(image) || win32.isAbsolute(image)) {
    throw refuse("absolute-path", `${quoted(image)} is absolute; give it relative to the images folder.`);
  }
  if (image.split(/[/\\]/).includes("..")) {
    throw refuse("path-escape", `${quoted(image)} has ".." in it; a picture must lie inside the images folder.`);
  }
  const root = realFolder(folder);
  const path = root === undefined || image.includes("\0") ? undefined : realPath(join(root, image));
  if (root === undefined || path === undefined) {
    throw refuse("missing-image", `there is no ${quoted(image)} in ${folder}.`);
  }
  if (!path.startsWith(root.endsWith(sep) ? root : root + sep) && path !== root) {
    throw refuse("symlink-escape", `${quoted(image)} is a link that leads out of ${folder}.`);
  }
  if (!statSync(path).isFile()) throw refuse("missing-image", `${quoted(image)} in ${folder} is not a file.`);
  return path;
}

function realFolder(folder: string): string | undefined {
  const known = realFolders.get(folder);
  if (known !== undefined) return known;
  const real = realPath(folder);
  if (real !== undefined) realFolders.set(folder, real);
  return real;
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync.native(path);
  } catch {
    return undefined;
  }
}
