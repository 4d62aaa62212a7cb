import { createReadStream } from "node:fs";
import { extname } from "node:path";
import { faultError } from "./faults.js";
import { requirePlainText } from "./file-content.js";
import { requireDataFile } from "./regular-file.js";

/** One element of a data file, not yet decoded. */
export interface Element {
  /** Place in the array, or line of a JSONL file, from 0. */
  readonly index: number;
  /** Null when it is over MAX_ELEMENT_BYTES: a quote or bracket may be missing, and memory must not run out. */
  readonly bytes: Buffer | null;
}

export const MAX_ELEMENT_BYTES = 16 * 2 ** 20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/**
 * The elements of a data file: its lines where the name ends in `.jsonl`, in letters of either case, else those of its
 * JSON array.
 * @throws DataError for a file that is no text (`requirePlainText`) or no array (`arrayElements`)
 */
export async function* elementsOf(file: string): AsyncGenerator<Element> {
  requireDataFile(file);
  await requirePlainText(file);
  yield* extname(file).toLowerCase() === ".jsonl" ? lineElements(file) : arrayElements(file);
}

/**
 * The elements of a file that holds one JSON array, as they stream by: the whole of a large file would not fit into a
 * JavaScript string (2^29 characters; LLaVA's tuning data has 2^30).
 * @throws DataError not-an-array when it holds something else, truncated-file when it ends too early, invalid-json when
 * it goes on after the array
 */
async function* arrayElements(file: string): AsyncGenerator<Element> {
  const element = new Collector();
  let phase: "before" | "inside" | "after" = "before";
  const open = new Brackets(); // of the element
  let inString = false;
  let escaped = false;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    let start = 0; // of the current element in this chunk
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (phase !== "inside") {
        if (isBlank(byte) || (phase === "before" && BYTE_ORDER_MARK.includes(byte))) continue;
        if (phase === "after") throw fileFault(file, "invalid-json", "there is more after the end of the array.");
        if (byte !== OPEN_ARRAY) {
          throw fileFault(
            file,
            "not-an-array",
            "it must hold one JSON array of records; name it .jsonl if it is lines.",
          );
        }
        phase = "inside";
        start = at + 1;
      } else if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) inString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) open.add(byte);
      else if (byte === COMMA && open.areNone) {
        yield element.take(chunk.subarray(start, at));
        start = at + 1;
      } else if (byte === CLOSE_ARRAY && open.areNone) {
        const last = element.take(chunk.subarray(start, at));
        if (last.index > 0 || !isEmpty(last)) yield last;
        phase = "after";
      } else if (byte === CLOSE_OBJECT) open.close(OPEN_OBJECT);
      else if (byte === CLOSE_ARRAY) open.close(OPEN_ARRAY);
    }
    if (phase === "inside") element.add(chunk.subarray(start));
  }
  if (phase === "before") throw fileFault(file, "not-an-array", "it is empty; it must hold one JSON array of records.");
  if (phase === "inside") {
    const last = element.take(Buffer.alloc(0));
    const after = last.index === 0 ? "before the first record" : `in record ${last.index}`;
    throw fileFault(file, "truncated-file", `it ends inside the array, ${after}: the file is not complete.`);
  }
}

/** The lines of a JSONL file; blank lines are counted and left out. */
async function* lineElements(file: string): AsyncGenerator<Element> {
  const line = new Collector();
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const element = line.take(chunk.subarray(start, end));
      if (!isEmpty(element)) yield element;
      start = end + 1;
    }
    line.add(chunk.subarray(start));
  }
  const last = line.take(Buffer.alloc(0));
  if (!isEmpty(last)) yield last;
}

/** Of a record, not of the format: a deeper one is damaged. */
const DEEPEST = 10_000;

/**
 * The brackets that are open. One of another kind that was forgotten closes with the one around it, so that a bracket
 * that is missing in a record spoils that record alone.
 */
class Brackets {
  readonly #open: number[] = [];

  get areNone(): boolean {
    return this.#open.length === 0;
  }

  add(bracket: number): void {
    if (this.#open.length < DEEPEST) this.#open.push(bracket);
  }

  close(bracket: number): void {
    const place = this.#open.lastIndexOf(bracket);
    if (place >= 0) this.#open.length = place;
  }
}

/** Gathers an element that spans several chunks, and counts. */
class Collector {
  #parts: Buffer[] = [];
  #size = 0;
  #index = 0;

  add(part: Buffer): void {
    this.#size += part.length;
    if (this.#size > MAX_ELEMENT_BYTES) this.#parts = [];
    else this.#parts.push(part);
  }

  take(end: Buffer): Element {
    this.add(end);
    const bytes = this.#size > MAX_ELEMENT_BYTES ? null : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#size = 0;
    return { index: this.#index++, bytes };
  }
}

function isEmpty({ bytes }: Element): boolean {
  return bytes?.every(isBlank) ?? false;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

function fileFault(file: string, kind: "not-an-array" | "truncated-file" | "invalid-json", message: string) {
  return faultError({ file, index: -1, field: "", kind, message });
}
