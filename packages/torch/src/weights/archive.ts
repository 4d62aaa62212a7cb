import { readBytes } from "../read-bytes.js";

/** Where the bytes of one record of an archive lie, in bytes from the start of the file. */
export interface ArchiveRecord {
  readonly begin: number;
  readonly bytes: number;
}

type Fail = (problem: string) => never;

/** A longer directory is an attempt to exhaust memory: it has room for half a million records. */
const MAX_DIRECTORY_BYTES = 64 << 20;

const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const MAX_DESCRIPTOR_BYTES = 24;
const UTF8_NAME = 0x0800;
const SIZES_FOLLOW = 0x0008;
const IN_EXTRA = 0xffffffff; // a 32-bit field whose value is in the zip64 extra field

/** The directory of an archive: where it lies, and of how many records it tells. */
interface Directory {
  readonly begin: number;
  readonly end: number;
  readonly count: number;
}

/** One record as the directory describes it. */
interface Entry {
  readonly name: string;
  readonly flags: number;
  readonly bytes: number;
  readonly headerBegin: number;
}

/**
 * The records of a zip archive as `torch.save` writes it: stored without compression, one after the other from the
 * first byte on, the directory and its end last, zip64 where a size or place needs it. A general zip reader forgives;
 * this one refuses whatever two readers could understand differently, and every size is checked before it is used.
 * Checksums are not compared: torch can be told to write none, and to read all data would defeat the mapping.
 * @param fail throws: what is wrong with the archive
 */
export function readArchive(descriptor: number, fileBytes: number, fail: Fail): Map<string, ArchiveRecord> {
  const directory = findDirectory(descriptor, fileBytes, fail);
  const entries = readEntries(descriptor, directory, fail);
  entries.sort((a, b) => a.headerBegin - b.headerBegin);
  const records = new Map<string, ArchiveRecord>();
  let end = 0;
  for (const entry of entries) {
    const about = `record ${JSON.stringify(entry.name)}`;
    const refuse: Fail = (problem) => fail(`${about}: ${problem}`);
    if (records.has(entry.name)) refuse("it is there twice");
    if (entry.headerBegin < end)
      refuse(`it begins at byte ${entry.headerBegin}, inside of another that ends at ${end}`);
    requireNoGap(entry.headerBegin - end, records.size > 0, refuse);
    const begin = dataBegin(descriptor, entry, directory.begin, refuse);
    end = begin + entry.bytes;
    if (end > directory.begin) {
      refuse(`its ${entry.bytes} bytes from ${begin} on reach past the records, which end at ${directory.begin}`);
    }
    records.set(entry.name, { begin, bytes: entry.bytes });
  }
  requireNoGap(directory.begin - end, records.size > 0, (problem) => fail(`its directory: ${problem}`));
  return records;
}

/** Between two records there may be what repeats the first one's sizes, and nothing else. */
function requireNoGap(gap: number, isAfterRecord: boolean, refuse: Fail): void {
  if (gap > (isAfterRecord ? MAX_DESCRIPTOR_BYTES : 0)) refuse(`the ${gap} bytes before it belong to no record`);
}

function findDirectory(descriptor: number, fileBytes: number, fail: Fail): Directory {
  const tailBytes = END64_BYTES + LOCATOR_BYTES + END_BYTES;
  const tail = readBytes(descriptor, Math.max(0, fileBytes - tailBytes), Math.min(fileBytes, tailBytes));
  const endAt = tail.length - END_BYTES;
  if (endAt < 0 || tail.readUInt32LE(endAt) !== 0x06054b50 || tail.readUInt16LE(endAt + 20) !== 0) {
    fail("the archive does not end with its directory. The file may have been cut off, or something was appended.");
  }
  let count = tail.readUInt16LE(endAt + 10);
  let bytes = tail.readUInt32LE(endAt + 12);
  let begin = tail.readUInt32LE(endAt + 16);
  let end = fileBytes - END_BYTES;
  if (tail.readUInt32LE(endAt + 4) !== 0 || tail.readUInt16LE(endAt + 8) !== count) fail("it is a part of an archive");

  const locatorAt = endAt - LOCATOR_BYTES;
  if (locatorAt >= END64_BYTES && tail.readUInt32LE(locatorAt) === 0x07064b50) {
    const end64At = locatorAt - END64_BYTES;
    end -= LOCATOR_BYTES + END64_BYTES;
    const place = tail.readBigUInt64LE(locatorAt + 8);
    if (
      place !== BigInt(end) ||
      tail.readUInt32LE(end64At) !== 0x06064b50 ||
      tail.readBigUInt64LE(end64At + 4) !== 44n
    ) {
      fail("the end of its zip64 directory is not where it should be");
    }
    if (tail.readBigUInt64LE(end64At + 16) !== 0n) fail("it is a part of an archive");
    const wide = (narrow: number, at: number, none: number) => {
      const value = tail.readBigUInt64LE(end64At + at);
      if (narrow !== none && value !== BigInt(narrow)) {
        fail(`its directory says both ${narrow} and ${value} of one thing`);
      }
      return Number(value); // compared with the size of the file below, where rounding does no harm
    };
    wide(count, 24, 0xffff);
    count = wide(count, 32, 0xffff);
    bytes = wide(bytes, 40, IN_EXTRA);
    begin = wide(begin, 48, IN_EXTRA);
  }
  if (bytes > MAX_DIRECTORY_BYTES)
    fail(`a directory of ${bytes} bytes is announced, ${MAX_DIRECTORY_BYTES} are allowed`);
  if (begin + bytes !== end) {
    fail(`its directory is said to be ${bytes} bytes from ${begin} on, but it has to end at ${end}`);
  }
  if (count * ENTRY_BYTES > bytes) fail(`${count} records are announced in a directory of ${bytes} bytes`);
  return { begin, end, count };
}

function readEntries(descriptor: number, { begin, end, count }: Directory, fail: Fail): Entry[] {
  const bytes = readBytes(descriptor, begin, end - begin);
  if (bytes.length < end - begin) fail("its directory could not be read whole");
  const entries: Entry[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + ENTRY_BYTES > bytes.length || bytes.readUInt32LE(at) !== 0x02014b50) {
      fail(`its directory does not describe record ${index + 1} of ${count}`);
    }
    const nameEnd = at + ENTRY_BYTES + bytes.readUInt16LE(at + 28);
    const extraEnd = nameEnd + bytes.readUInt16LE(at + 30);
    const next = extraEnd + bytes.readUInt16LE(at + 32);
    if (next > bytes.length) fail(`its directory ends inside of record ${index + 1} of ${count}`);
    const name = nameOf(bytes.subarray(at + ENTRY_BYTES, nameEnd), fail);
    entries.push(entryOf(name, bytes.subarray(at, nameEnd), bytes.subarray(nameEnd, extraEnd), fail));
    at = next;
  }
  if (at !== bytes.length) fail(`its directory has ${bytes.length - at} bytes after the last record`);
  return entries;
}

function entryOf(name: string, fixed: Buffer, extra: Buffer, fail: Fail): Entry {
  const refuse: Fail = (problem) => fail(`record ${JSON.stringify(name)}: ${problem}`);
  const flags = fixed.readUInt16LE(8);
  const method = fixed.readUInt16LE(10);
  if (method !== 0) refuse(`it is compressed (method ${method}), which torch.save never does`);
  if ((flags & ~(UTF8_NAME | SIZES_FOLLOW)) !== 0) refuse(`it is encrypted or of another kind (flags ${flags})`);
  const [bytes, packed, headerBegin] = widened(
    [fixed.readUInt32LE(24), fixed.readUInt32LE(20), fixed.readUInt32LE(42)],
    extra,
    refuse,
  );
  if (bytes !== packed) refuse(`it is stored without compression, but as ${packed} bytes of ${bytes}`);
  return { name, flags, bytes, headerBegin };
}

/** The three fields of an entry that may be too large for 32 bits, from the zip64 extra field where they are. */
function widened(fields: [number, number, number], extra: Buffer, refuse: Fail): [number, number, number] {
  if (!fields.includes(IN_EXTRA)) return fields;
  let wide: Buffer | undefined;
  for (let at = 0; at + 4 <= extra.length && !wide; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) === 1) wide = extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2));
  }
  let at = 0;
  const value = (field: number) => {
    if (field !== IN_EXTRA) return field;
    if (!wide || at + 8 > wide.length) return refuse("its zip64 sizes are missing");
    const read = wide.readBigUInt64LE(at);
    at += 8;
    if (read > Number.MAX_SAFE_INTEGER) refuse(`a size or place of ${read} is in no file`);
    return Number(read);
  };
  return [value(fields[0]), value(fields[1]), value(fields[2])];
}

/** Names are never used as paths, but one that would be a trap elsewhere is no name that torch.save writes. */
function nameOf(bytes: Buffer, fail: Fail): string {
  let name: string;
  try {
    name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail("the name of a record is not UTF-8");
  }
  const parts = name.split("/");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\\\u0000-\u001f]/.test(name) || parts.some((part) => part === "" || part === "." || part === "..")) {
    fail(`record ${JSON.stringify(name)}: this is no name for a record`);
  }
  return name;
}

/** Where the data of a record begins: after its own header, which has to agree with the directory. */
function dataBegin(descriptor: number, entry: Entry, limit: number, refuse: Fail): number {
  const { name, flags, bytes, headerBegin } = entry;
  const wanted = Buffer.from(name);
  const headerEnd = headerBegin + LOCAL_BYTES + wanted.length;
  if (headerEnd > limit) refuse(`its header at byte ${headerBegin} reaches past the records, which end at ${limit}`);
  const header = readBytes(descriptor, headerBegin, LOCAL_BYTES + wanted.length);
  if (header.length < LOCAL_BYTES + wanted.length || header.readUInt32LE(0) !== 0x04034b50) {
    refuse(`there is no header at byte ${headerBegin}`);
  }
  const isSame =
    header.readUInt16LE(6) === flags &&
    header.readUInt16LE(8) === 0 &&
    header.readUInt16LE(26) === wanted.length &&
    header.subarray(LOCAL_BYTES).equals(wanted);
  if (!isSame) refuse("its header and the directory disagree");
  for (const size of [header.readUInt32LE(18), header.readUInt32LE(22)]) {
    if (size === bytes || size === IN_EXTRA || (size === 0 && (flags & SIZES_FOLLOW) !== 0)) continue;
    refuse(`its header says ${size} bytes, the directory ${bytes}`);
  }
  return headerEnd + header.readUInt16LE(28);
}
