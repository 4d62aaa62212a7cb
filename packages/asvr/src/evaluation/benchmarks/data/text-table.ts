import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { extname } from "node:path";
import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { parse as parseSync } from "csv-parse/sync";
import { faultError } from "../../../data/faults.js";
import { requireDataFile } from "../../../data/regular-file.js";
import type { FaultKind } from "../../../fault.js";
import { inlineBytes, isPath, namedPicture } from "./picture-value.js";
import { contentKey, type Picture, type Row, type Table, type TableOptions, type Unfound } from "./table.js";

/** A quote may be missing: memory must not run out over it. */
const MAX_RECORD_BYTES = 64 * 2 ** 20;

/**
 * Tab-separated (`.tsv`) or comma-separated (`.csv`) rows with a header, in UTF-8. Pictures are base64, data URLs, paths
 * inside the images folder, or the `index` of another row with the same picture: an earlier or a later one, which may
 * itself name another.
 */
export async function openText(file: string, { pictures, imagesFolder }: TableOptions): Promise<Table> {
  requireDataFile(file);
  const format = {
    delimiter: extname(file).toLowerCase() === ".tsv" ? "\t" : ",",
    bom: true,
    relax_quotes: true, // a quote that nobody escaped is text, as `5" wide`
    relax_column_count: true, // counted below, where the row can be named
    max_record_size: MAX_RECORD_BYTES,
    skip_empty_lines: true,
  };
  const records = async function* (): AsyncGenerator<{ record: string[]; start: number; end: number }> {
    const stream = Readable.from(utf8Chunks(file));
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
      return inlineBytes(record![column]!)!;
    } finally {
      await handle.close();
    }
  };

  return {
    file,
    columns,
    async *rows() {
      const rows: Row[] = [];
      const byIndex = new Map<string, Row>();
      let index = -2; // the header is the first record
      for await (const { record, start, end } of records()) {
        if (++index < 0) continue;
        if (record.length !== columns.length) {
          const message = `it has ${record.length} fields, the header ${columns.length}.`;
          throw faultError({ file, index, field: "", kind: "wrong-shape", message });
        }
        const row: Row = { index, values: {} };
        for (const [at, column] of columns.entries()) {
          const text = record[at]!;
          row.values[column] = pictures.includes(column) ? pictureOf(text, start, end, at) : text;
        }
        rows.push(row);
        const name = record[columns.indexOf("index")];
        if (name !== undefined && !byIndex.has(rowName(name))) byIndex.set(rowName(name), row);
      }
      for (const row of rows) {
        for (const column of pictures) {
          const value = row.values[column];
          if (value instanceof RowReference) row.values[column] = followed(value, column, byIndex);
        }
        yield row;
      }
    },
  };

  function pictureOf(text: string, start: number, end: number, at: number): Picture | Unfound | RowReference | null {
    if (text === "") return null;
    const content = inlineBytes(text);
    if (content) return { key: contentKey(content), bytes: () => cellBytes(start, end, at) };
    return isPath(text) ? namedPicture(text, imagesFolder) : new RowReference(text);
  }
}

/** A picture that stands in another row: its `index`. */
class RowReference {
  constructor(readonly index: string) {}
}

/** An index as pandas may have written it: 200.0 is 200. */
function rowName(index: string): string {
  return index.trim().replace(/\.0+$/, "");
}

/** The picture at the end of a chain of references. */
function followed(start: RowReference, column: string, rows: ReadonlyMap<string, Row>): unknown {
  const passed = new Set<string>();
  let value: unknown = start;
  while (value instanceof RowReference) {
    const name = rowName(value.index);
    const shown = JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
    const row = rows.get(name);
    if (!row) return { unfound: `it names the picture of row ${shown}, and there is no such row.` };
    if (passed.has(name)) return { unfound: `it names the picture of row ${shown}, which leads back to itself.` };
    passed.add(name);
    value = row.values[column];
  }
  return value;
}

/** A file's bytes as they are. @throws DataError invalid-utf8, with the line, where they are not UTF-8 */
async function* utf8Chunks(file: string): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const refuse = (message: string, kind: FaultKind = "invalid-utf8") =>
    faultError({ file, index: -1, field: "", kind, message: `${message} Save it as UTF-8.` });
  let line = 1;
  let isFirst = true;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    if (isFirst && /^(\xff\xfe|\xfe\xff)/.test(chunk.toString("latin1", 0, 2))) throw refuse("it is UTF-16.");
    isFirst = false;
    let decoded = "";
    try {
      decoded = decoder.decode(chunk, { stream: true });
    } catch {
      throw refuse(`it is not UTF-8: see line ${line + lineOfFault(chunk)}.`);
    }
    line += decoded.split("\n").length - 1;
    yield chunk;
  }
  try {
    decoder.decode();
  } catch {
    throw refuse(`it is not UTF-8: see line ${line}.`);
  }
}

/** How many lines of a chunk stand before the first that is not UTF-8. */
function lineOfFault(chunk: Buffer): number {
  let line = 0;
  for (let start = 0; start < chunk.length; line++) {
    const newline = chunk.indexOf(0x0a, start);
    const end = newline < 0 ? chunk.length : newline;
    if (!isUtf8(chunk.subarray(start, end))) return line;
    start = end + 1;
  }
  return line;
}
