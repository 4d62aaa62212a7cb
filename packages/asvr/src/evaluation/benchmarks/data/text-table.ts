import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { extname } from "node:path";
import { CsvError, parse } from "csv-parse";
import { parse as parseSync } from "csv-parse/sync";
import { faultError } from "../../../data/faults.js";
import { requireDataFile } from "../../../data/regular-file.js";
import { filePicture } from "./json-table.js";
import { contentKey, type Picture, type Table, type TableOptions } from "./table.js";

/** Shorter texts in a picture column are no base64 picture: VLMEvalKit writes the index of the row that has it. */
const SHORTEST_BASE64 = 64;
/** A quote may be missing: memory must not run out over it. */
const MAX_RECORD_BYTES = 64 * 2 ** 20;

/**
 * Tab-separated (`.tsv`) or comma-separated (`.csv`) rows with a header. Pictures are base64, or the `index` of another row
 * with the same picture, or paths inside the images folder.
 */
export async function openText(file: string, { pictures, imagesFolder }: TableOptions): Promise<Table> {
  requireDataFile(file);
  const format = {
    delimiter: extname(file).toLowerCase() === ".tsv" ? "\t" : ",",
    bom: true,
    relax_column_count: true, // counted below, where the row can be named
    max_record_size: MAX_RECORD_BYTES,
    skip_empty_lines: true,
  };
  const records = async function* (): AsyncGenerator<{ record: string[]; start: number; end: number }> {
    const stream = createReadStream(file);
    const parser = stream.pipe(parse({ ...format, info: true }));
    stream.on("error", (error) => parser.destroy(error));
    let start = 0;
    try {
      for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { bytes: number } }>) {
        yield { record, start, end: info.bytes };
        start = info.bytes;
      }
    } catch (error) {
      if (!(error instanceof CsvError)) throw error;
      throw faultError({ file, index: -1, field: "", kind: "truncated-file", message: `${error.message}.` });
    } finally {
      stream.destroy();
    }
  };
  let columns: string[] = [];
  for await (const { record } of records()) {
    columns = record;
    break;
  }

  /** The bytes of a cell, read again from its place in the file. */
  const cellBytes = async (start: number, end: number, column: number): Promise<Uint8Array> => {
    const handle = await open(file);
    try {
      const { buffer } = await handle.read(Buffer.alloc(end - start), 0, end - start, start);
      const [record] = parseSync(buffer, format) as string[][];
      return Buffer.from(record![column]!, "base64");
    } finally {
      await handle.close();
    }
  };

  return {
    file,
    columns,
    async *rows() {
      const byIndex = new Map<string, Picture>();
      let index = -2; // the header is the first record
      for await (const { record, start, end } of records()) {
        if (++index < 0) continue;
        if (record.length !== columns.length) {
          const message = `it has ${record.length} fields, the header ${columns.length}.`;
          throw faultError({ file, index, field: "", kind: "wrong-shape", message });
        }
        const values: Record<string, unknown> = {};
        for (const [at, column] of columns.entries()) {
          const text = record[at]!;
          values[column] = pictures.includes(column) ? null : text;
          if (!pictures.includes(column) || text === "") continue;
          if (/\.(jpe?g|png|webp|gif)$/i.test(text)) values[column] = filePicture(imagesFolder, text);
          else if (text.length >= SHORTEST_BASE64) {
            const picture: Picture = {
              key: contentKey(Buffer.from(text, "base64")),
              bytes: () => cellBytes(start, end, at),
            };
            values[column] = picture;
            byIndex.set(record[columns.indexOf("index")] ?? "", picture);
          } else values[column] = byIndex.get(text) ?? null;
        }
        yield { index, values };
      }
    },
  };
}
