import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { elementsOf } from "../../../data/elements.js";
import { type FaultKind, faultError } from "../../../data/faults.js";
import { readImageFile } from "../../../data/images.js";
import { resolveImage } from "../../../data/paths.js";
import type { ImagesFolder, Picture, Table, TableOptions } from "./table.js";

/** A JSON array of objects, or one a line (`.jsonl`); pictures are paths inside the images folder. */
export async function openJson(file: string, { pictures, imagesFolder }: TableOptions): Promise<Table> {
  const parse = (bytes: Buffer | null, index: number): Record<string, unknown> => {
    const fault = (message: string) => faultError({ file, index, field: "", kind: "invalid-json", message });
    if (bytes === null) throw fault("it is too long.");
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString("utf8"));
    } catch (error) {
      throw fault(`${(error as Error).message}.`);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw fault("it is no object.");
    return value as Record<string, unknown>;
  };
  let columns: string[] = [];
  for await (const { bytes, index } of elementsOf(file)) {
    columns = Object.keys(parse(bytes, index));
    break;
  }
  const picture = (value: unknown) => (typeof value === "string" ? filePicture(imagesFolder, value) : null);
  return {
    file,
    columns,
    async *rows() {
      for await (const { bytes, index } of elementsOf(file)) {
        const values = parse(bytes, index);
        for (const column of pictures) {
          const value = values[column];
          if (value !== undefined) values[column] = Array.isArray(value) ? value.map(picture) : picture(value);
        }
        yield { index, values };
      }
    },
  };
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
