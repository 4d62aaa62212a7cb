/** What a published table may hold in a picture column, and the picture that it is. */
import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { faultError } from "../../../data/faults.js";
import { readImageFile } from "../../../data/images.js";
import { resolveImage } from "../../../data/paths.js";
import type { FaultKind } from "../../../fault.js";
import type { ImagesFolder, Picture, Unfound } from "./table.js";

/** Shorter texts are no base64 picture: VLMEvalKit writes the index of the row that has it. */
const SHORTEST_BASE64 = 64;
const dataUrl = /^data:[\w.+/-]*;base64,/i;
const pathEnding = /\.(jpe?g|png|webp|gif|bmp|tiff?|avif)$/i;
const base64Text = /^[A-Za-z0-9+/_-]+={0,2}$/;

/** The hub's struct of a picture; either of the two may be absent. */
interface ImageStruct {
  bytes?: unknown;
  path?: unknown;
}

/**
 * `inlineBytes` returns the encoded picture that a cell holds: bytes, a struct with bytes, base64 or a data URL.
 * @returns undefined where the cell holds none: a path, the index of another row, nothing
 */
export function inlineBytes(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value.length > 0 ? value : undefined;
  if (typeof value === "string") return decodedText(value);
  const { bytes } = (value ?? {}) as ImageStruct;
  return bytes === undefined || bytes === null ? undefined : inlineBytes(bytes);
}

/** `namedPicture` returns the picture that a cell names by a path, or says why there is none. Null: the cell is empty. */
export function namedPicture(value: unknown, folder: ImagesFolder): Picture | Unfound | null {
  if (value === null || value === undefined || value === "") return null;
  const path = typeof value === "object" ? (value as ImageStruct).path : value;
  if (path === null || path === undefined || path === "") return null;
  if (typeof path !== "string") return { unfound: `it is ${described(path)}, which is no picture.` };
  return filePicture(folder, path) ?? { unfound: `there is no picture ${JSON.stringify(shortened(path))}.` };
}

/** Whether a text names a file, as against the index of another row. */
export function isPath(text: string): boolean {
  return pathEnding.test(text);
}

function decodedText(text: string): Uint8Array | undefined {
  const mark = dataUrl.exec(text.slice(0, 100))?.[0];
  const body = (mark === undefined ? text : text.slice(mark.length)).replace(/\s+/g, "");
  if (mark === undefined && (body.length < SHORTEST_BASE64 || isPath(body))) return undefined;
  return base64Text.test(body) ? Buffer.from(body, "base64") : undefined;
}

function described(value: unknown): string {
  return typeof value === "object" ? "a structure" : `a ${typeof value}`;
}

function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

/** A picture in a folder; null where there is none. @throws DataError when the path leads out of the folder */
export function filePicture({ root, inside }: ImagesFolder, path: string): Picture | null {
  try {
    requireRelative(path);
    const file = resolveImage(root, join(inside, path));
    return existsSync(file) ? { key: path, bytes: () => readImageFile(file) } : null;
  } catch (error) {
    if ((error as { faults?: { kind: string }[] }).faults?.[0]?.kind === "missing-image") return null;
    throw error;
  }
}

/** Checked before `inside` is put in front, which would hide it. @throws DataError absolute-path or path-escape */
function requireRelative(path: string): void {
  const refuse = (kind: FaultKind) =>
    faultError({ file: path, index: -1, field: "", kind, message: "it leads out of the folder." });
  if (isAbsolute(path)) throw refuse("absolute-path");
  if (path.split(/[/\\]/).includes("..")) throw refuse("path-escape");
}
