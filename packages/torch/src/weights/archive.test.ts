// Archives that two readers could understand differently, or that a reader could be led out of: none may be read.
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { type ArchiveRecord, readArchive } from "./archive.js";
import { cpuSeconds, u16, u32, u64, type ZipOptions, type ZipRecord, zip } from "./torch-file.fixture.js";

class Refused extends Error {}

const folder = mkdtempSync(join(tmpdir(), "asvr-archive-"));
const path = join(folder, "archive.zip");
afterAll(() => rmSync(folder, { recursive: true }));

function read(content: Uint8Array): Map<string, ArchiveRecord> {
  writeFileSync(path, content);
  const descriptor = openSync(path, "r");
  try {
    return readArchive(descriptor, content.length, (problem) => {
      throw new Refused(problem);
    });
  } finally {
    closeSync(descriptor);
  }
}

const two: ZipRecord[] = [
  { name: "a/one", data: Buffer.from("first") },
  { name: "a/two", data: Buffer.from("second") },
];
/** Two records, of which the second is changed. */
const changed = (change: Partial<ZipRecord>, options: ZipOptions = {}) =>
  zip([two[0]!, { ...two[1]!, ...change }], options);
const wideEntry = (bytes: Uint8Array) => Buffer.concat([u16(1), u16(bytes.length), bytes]);

test.each([{ zip64: true }, { zip64: false }, { alignment: 1 }])("stored records are found: %o", (options) => {
  const content = zip(two, options);
  const texts = [...read(content)].map(([name, { begin, bytes }]) => [
    name,
    content.subarray(begin, begin + bytes).toString(),
  ]);
  expect(texts).toEqual([
    ["a/one", "first"],
    ["a/two", "second"],
  ]);
});

test("sizes and places in the zip64 field are read", () => {
  const plain = zip(two);
  const begin = plain.indexOf("PK\x03\x04", 1, "latin1");
  const content = changed({
    entry: { 20: u32(0xffffffff), 24: u32(0xffffffff), 42: u32(0xffffffff) },
    extra: Buffer.concat([
      u16(0x7777),
      u16(1),
      Buffer.alloc(1),
      wideEntry(Buffer.concat([u64(6), u64(6), u64(begin)])),
    ]),
  });
  expect(read(content)).toEqual(read(plain));
});

test("an archive of nothing has no records", () => {
  expect(read(zip([])).size).toBe(0);
});

const bomb = deflateRawSync(Buffer.alloc(1 << 20));
const refused: [what: string, content: () => Buffer, message: RegExp][] = [
  ["no bytes", () => Buffer.alloc(0), /does not end with its directory/],
  ["a cut", () => zip(two).subarray(0, -1), /does not end with its directory/],
  ["something appended", () => Buffer.concat([zip(two), Buffer.from("x")]), /something was appended/],
  ["a comment", () => zip(two, { end: { 20: u16(1) } }), /does not end with its directory/],
  ["several disks", () => zip(two, { end: { 4: u16(1) } }), /a part of an archive/],
  ["another disk of zip64", () => zip(two, { end64: { 16: u32(1) } }), /a part of an archive/],
  ["two counts", () => zip(two, { end: { 8: u16(1), 10: u16(1) } }), /both 1 and 2/],
  [
    "a count that is too large",
    () => zip(two, { zip64: false, end: { 8: u32(0xfff0fff0) } }),
    /65520 records are announced/,
  ],
  [
    "a count of 2^64 - 1",
    () => zip(two, { end: { 8: u32(0xffffffff) }, end64: { 24: u64(2n ** 64n - 1n), 32: u64(2n ** 64n - 1n) } }),
    /18446744073709552000 records are announced/,
  ],
  [
    "a count that is too small",
    () => zip(two, { zip64: false, end: { 8: u32(0x00010001) } }),
    /51 bytes after the last record/,
  ],
  [
    "a directory elsewhere",
    () => zip(two, { zip64: false, end: { 16: u32(7) } }),
    /102 bytes from 7 on, but it has to end at/,
  ],
  ["a directory past the end", () => zip(two, { zip64: false, end: { 16: u32(0xfffffff0) } }), /from 4294967280 on/],
  ["a huge directory", () => zip(two, { zip64: false, end: { 12: u32(0xfffffff0) } }), /67108864 are allowed/],
  ["an odd zip64 end", () => zip(two, { end64: { 4: u64(45) } }), /zip64 directory is not where/],
  ["a name twice", () => changed({ name: "a/one" }), /record "a\/one": it is there twice/],
  ["a path upwards", () => changed({ name: "a/../../etc/passwd" }), /this is no name for a record/],
  ["an absolute path", () => changed({ name: "/etc/passwd" }), /this is no name for a record/],
  ["a path of Windows", () => changed({ name: "a\\..\\b" }), /this is no name for a record/],
  ["a name with an end inside", () => changed({ name: "a/b\0.pkl" }), /this is no name for a record/],
  ["a name that is no text", () => changed({ entry: { 46: Buffer.from([0xff]) } }), /not UTF-8/],
  ["a folder", () => changed({ name: "a/b/" }), /this is no name for a record/],
  [
    "a zip bomb",
    () => changed({ data: bomb, entry: { 10: u16(8), 24: u32(1 << 20) } }),
    /record "a\/two": it is compressed \(method 8\)/,
  ],
  ["two sizes of one record", () => changed({ entry: { 24: u32(1 << 30) } }), /but as 6 bytes of 1073741824/],
  ["compression in its header alone", () => changed({ local: { 8: u16(8) } }), /header and the directory disagree/],
  ["encryption", () => changed({ entry: { 8: u16(0x809) } }), /it is encrypted/],
  ["two names of one record", () => changed({ local: { 30: Buffer.from("b") } }), /header and the directory disagree/],
  ["another size in its header", () => changed({ local: { 18: u32(5) } }), /its header says 5 bytes, the directory 6/],
  ["no header", () => changed({ local: { 0: u32(0) } }), /there is no header at byte/],
  ["a record on another", () => changed({ entry: { 42: u32(0) } }), /begins at byte 0, inside of another/],
  ["a record past the end", () => changed({ entry: { 42: u32(0x7fffffff) } }), /belong to no record/],
  ["data past the records", () => changed({ entry: { 20: u32(500), 24: u32(500) } }), /reach past the records/],
  [
    "data past the end",
    () => changed({ entry: { 20: u32(0xfffffff0), 24: u32(0xfffffff0) } }),
    /reach past the records/,
  ],
  [
    "data of 2^64 - 1 bytes",
    () =>
      changed({
        entry: { 20: u32(0xffffffff), 24: u32(0xffffffff) },
        extra: wideEntry(Buffer.concat([u64(2n ** 64n - 1n), u64(2n ** 64n - 1n)])),
      }),
    /18446744073709551615 is in no file/,
  ],
  ["a wide size that is missing", () => changed({ entry: { 24: u32(0xffffffff) } }), /zip64 sizes are missing/],
  ["an extra field past its end", () => changed({ entry: { 30: u16(0xffff) } }), /ends inside of record 2 of 2/],
  ["no entry where one should be", () => changed({ entry: { 0: u32(0) } }), /does not describe record 2 of 2/],
  ["something before", () => Buffer.concat([Buffer.alloc(64), zip(two)]), /zip64 directory is not where/],
  [
    "bytes of no record",
    () => zip([{ ...two[0]!, data: Buffer.alloc(99), entry: { 20: u64(0) } }, two[1]!]),
    /the 115 bytes before it belong to no record/,
  ],
];

test.each(refused)("%s is refused", (_, content, message) => {
  const bytes = content();
  expect(cpuSeconds(() => expect(() => read(bytes)).toThrow(Refused))).toBeLessThan(1);
  expect(() => read(bytes)).toThrow(message);
});

test("records that are read lie in the file, apart from each other, whatever is changed", () => {
  const intact = zip(two);
  const change = fc.record({ at: fc.nat(intact.length - 1), to: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 5 }), fc.integer({ min: 0, max: 30 }), (changes, cut) => {
      const bytes = Buffer.from(intact.subarray(0, intact.length - (cut > 20 ? cut - 20 : 0)));
      for (const { at, to } of changes) bytes[at] = to;
      const records = readOrNothing(bytes);
      let end = 0;
      for (const record of records.sort((a, b) => a.begin - b.begin)) {
        expect(record.begin).toBeGreaterThanOrEqual(end);
        end = record.begin + record.bytes;
      }
      expect(end).toBeLessThanOrEqual(bytes.length);
    }),
    { numRuns: 1000 },
  );
});

test("any bytes at all are refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(readOrNothing(bytes)).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

function readOrNothing(bytes: Uint8Array): ArchiveRecord[] {
  try {
    return [...read(bytes).values()];
  } catch (error) {
    expect(error).toBeInstanceOf(Refused);
    return [];
  }
}
