import {
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaTree,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { faultError } from "../../../data/faults.js";
import { requireDataFile } from "../../../data/regular-file.js";
import { inlineBytes, namedPicture } from "./picture-value.js";
import { contentKey, type Picture, type Row, type Table, type TableOptions } from "./table.js";

/**
 * A parquet shard: pictures are the hub's structs, bytes, base64, data URLs or paths, one or a list of them.
 * @throws DataError truncated-file
 */
export async function openParquet(file: string, { pictures, imagesFolder, cache }: TableOptions): Promise<Table> {
  requireDataFile(file);
  const unreadable = (error: unknown) =>
    faultError({
      file,
      index: -1,
      field: "",
      kind: "truncated-file",
      message: `it cannot be read as parquet: ${(error as Error).message}. Fetch it again.`,
    });
  let source: Awaited<ReturnType<typeof asyncBufferFromFile>>;
  let metadata: FileMetaData;
  try {
    source = await asyncBufferFromFile(file);
    metadata = await parquetMetadataAsync(source);
    requireLayout(metadata, source.byteLength);
  } catch (error) {
    throw unreadable(error);
  }
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);
  const groups = rowGroups(metadata);

  // Bytes without a type of their own stay bytes: texts are marked as such.
  const read = (rowStart: number, rowEnd: number, only?: string[]) =>
    parquetReadObjects({
      file: source,
      metadata,
      compressors,
      utf8: false,
      rowStart,
      rowEnd,
      ...(only && { columns: only }),
    }).catch((error: unknown) => {
      throw unreadable(error);
    });

  const lazyPicture = (value: unknown, group: RowGroup, row: number, column: string, place: number | null) => {
    const content = inlineBytes(value);
    if (!content) return namedPicture(value, imagesFolder);
    return {
      key: contentKey(content),
      bytes: async () => {
        const values = await cache.get(`${file}\n${group.start}\n${column}`, () =>
          read(group.start, group.end, [column]),
        );
        const value: unknown = values[row - group.start]![column];
        return inlineBytes(place === null ? value : (value as unknown[])[place])!;
      },
    } satisfies Picture;
  };

  return {
    file,
    columns,
    async *rows() {
      for (const group of groups) {
        const objects = await read(group.start, group.end);
        for (const [at, object] of objects.entries()) {
          const row: Row = { index: group.start + at, values: {} };
          for (const column of columns) {
            const value: unknown = object[column];
            row.values[column] = !pictures.includes(column)
              ? plain(value)
              : Array.isArray(value)
                ? value.map((one, place) => lazyPicture(one, group, row.index, column, place))
                : lazyPicture(value, group, row.index, column, null);
          }
          yield row;
        }
      }
    },
  };
}

/**
 * Whether columns are known to the schema and lie side by side inside the file. In a damaged footer they may not: hyparquet
 * then leaves a rejection that nobody can catch, or reads a page as what it is not.
 * @throws Error
 */
function requireLayout(metadata: FileMetaData, byteLength: number): void {
  const schema = parquetSchema(metadata);
  const ranges: [start: number, end: number][] = [];
  for (const { columns } of metadata.row_groups) {
    for (const { meta_data: column } of columns) {
      if (!column) throw new Error("a column has no description");
      let node: SchemaTree | undefined = schema;
      for (const name of column.path_in_schema) node = node?.children.find(({ element }) => element.name === name);
      if (!node) throw new Error(`column ${JSON.stringify(column.path_in_schema.join("."))} is not in its schema`);
      const start = Number(column.dictionary_page_offset || column.data_page_offset);
      ranges.push([start, start + Number(column.total_compressed_size)]);
    }
  }
  ranges.sort(([a], [b]) => a - b);
  for (const [at, [start, end]] of ranges.entries()) {
    const next = ranges[at + 1]?.[0] ?? byteLength;
    if (!(start >= 0 && start <= end && end <= next))
      throw new Error("its columns overlap, or lie outside of the file");
  }
}

interface RowGroup {
  start: number;
  end: number;
}

function rowGroups({ row_groups }: FileMetaData): RowGroup[] {
  let start = 0;
  return row_groups.map(({ num_rows }) => {
    const group = { start, end: start + Number(num_rows) };
    start = group.end;
    return group;
  });
}

/** 64-bit numbers as numbers, where they fit; nothing, and the NaN that stands for it in a column of numbers, as null. */
function plain(value: unknown): unknown {
  if (Number.isNaN(value)) return null;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (Array.isArray(value)) return value.map(plain);
  return value ?? null;
}
