import {
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { faultError } from "../../../data/faults.js";
import { requireDataFile } from "../../../data/regular-file.js";
import { filePicture } from "./json-table.js";
import { contentKey, type Picture, type Row, type Table, type TableOptions } from "./table.js";

/** The hub's struct of a picture; either of the two may be absent. */
interface ImageStruct {
  bytes?: Uint8Array | null;
  path?: string | null;
}

/** A parquet shard with the hub's picture structs. @throws DataError truncated-file */
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

  const lazyPicture = (
    struct: ImageStruct | null,
    group: RowGroup,
    row: number,
    column: string,
    place: number | null,
  ) => {
    if (struct?.bytes == null || struct.bytes.length === 0) {
      return typeof struct?.path === "string" ? filePicture(imagesFolder, struct.path) : null;
    }
    return {
      key: contentKey(struct.bytes),
      bytes: async () => {
        const values = await cache.get(`${file}\n${group.start}\n${column}`, () =>
          read(group.start, group.end, [column]),
        );
        const value = values[row - group.start]![column] as ImageStruct | ImageStruct[];
        return (place === null ? (value as ImageStruct) : (value as ImageStruct[])[place]!).bytes!;
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
                ? value.map((one, place) => lazyPicture(one as ImageStruct, group, row.index, column, place))
                : lazyPicture(value as ImageStruct | null, group, row.index, column, null);
          }
          yield row;
        }
      }
    },
  };
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

/** 64-bit numbers as numbers, where they fit; nothing as null. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (Array.isArray(value)) return value.map(plain);
  return value ?? null;
}
