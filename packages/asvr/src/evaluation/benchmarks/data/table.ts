/**
 * A published file of questions, row by row. Values of picture columns are `Picture`s: what a row says about them is
 * looked at once, their bytes only when they are asked for.
 */
import { createHash } from "node:crypto";
import { extname } from "node:path";
import { type DecodeOptions, decodeImage, type RgbImage } from "../../../data/images.js";
import { ConfigError } from "../../../errors.js";

/** A picture of a question, as an encoded file. */
export interface Picture {
  /** Where it is equal the content is: questions about one picture are asked together. */
  readonly key: string;
  bytes(): Promise<Uint8Array>;
}

/** What a picture column holds where it leads to no picture, and why. */
export interface Unfound {
  readonly unfound: string;
}

/** Pixels of a picture, bounded as all pictures from elsewhere. @throws DataError as `decodeImage` */
export async function decodePicture(picture: Picture, options: DecodeOptions = {}): Promise<RgbImage> {
  return decodeImage(await picture.bytes(), { name: picture.key, misnamed: "accept", ...options });
}

export interface Row {
  /** From 0, in its file. */
  index: number;
  /** Column -> value: null where absent, whole numbers as numbers, picture columns as `Picture`, `Unfound` or a list. */
  values: Record<string, unknown>;
}

export interface Table {
  readonly file: string;
  readonly columns: readonly string[];
  /** Rows, in order. @throws DataError when the file breaks off or cannot be read as what its name says */
  rows(): AsyncIterable<Row>;
}

/** Where pictures are that rows name by a path. */
export interface ImagesFolder {
  /** Nothing outside of it is opened; links may lead anywhere inside, as in a hub's cache. */
  root: string;
  /** What paths are relative to, inside the root. */
  inside: string;
}

export interface TableOptions {
  /** Columns with pictures. */
  pictures: readonly string[];
  imagesFolder: ImagesFolder;
  cache: ChunkCache;
}

/** @throws ConfigError for an unknown kind of file, DataError for one that cannot be read */
export async function openTable(file: string, options: TableOptions): Promise<Table> {
  switch (extname(file).toLowerCase()) {
    case ".parquet":
      return (await import("./parquet-table.js")).openParquet(file, options);
    case ".tsv":
    case ".csv":
      return (await import("./text-table.js")).openText(file, options);
    case ".json":
    case ".jsonl":
      return (await import("./json-table.js")).openJson(file, options);
    default:
      throw new ConfigError(`${file}: it must end in .parquet, .tsv, .csv, .json or .jsonl`);
  }
}

/** A name for the content: the same in every file and format. */
export function contentKey(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 32);
}

/** A few large parts of files, kept while questions go through them in order. */
export class ChunkCache {
  readonly #chunks = new Map<string, Promise<unknown>>();

  constructor(readonly capacity = 2) {}

  get<T>(key: string, read: () => Promise<T>): Promise<T> {
    const known = this.#chunks.get(key) as Promise<T> | undefined;
    const chunk = known ?? read();
    this.#chunks.delete(key); // and back as the newest
    this.#chunks.set(key, chunk);
    const [oldest] = this.#chunks.keys();
    if (this.#chunks.size > this.capacity) this.#chunks.delete(oldest!);
    if (!known) chunk.catch(() => this.#chunks.delete(key)); // the caller gets the error
    return chunk;
  }
}
