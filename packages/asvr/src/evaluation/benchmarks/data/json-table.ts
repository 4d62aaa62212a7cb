import { isUtf8 } from "node:buffer";
import { elementsOf } from "../../../data/elements.js";
import { faultError } from "../../../data/faults.js";
import type { FaultKind } from "../../../fault.js";
import { inlineBytes, namedPicture } from "./picture-value.js";
import { contentKey, type Table, type TableOptions } from "./table.js";

/** A JSON array of objects, or one a line (`.jsonl`); pictures are paths inside the images folder. */
export async function openJson(file: string, { pictures, imagesFolder }: TableOptions): Promise<Table> {
  const parse = (bytes: Buffer | null, index: number): Record<string, unknown> => {
    const fault = (message: string, kind: FaultKind = "invalid-json") =>
      faultError({ file, index, field: "", kind, message });
    if (bytes === null) throw fault("it is too long.");
    if (!isUtf8(bytes)) throw fault("it is not UTF-8. Save the file as UTF-8.", "invalid-utf8");
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
  const picture = (value: unknown) => {
    const content = inlineBytes(value);
    return content ? { key: contentKey(content), bytes: async () => content } : namedPicture(value, imagesFolder);
  };
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
