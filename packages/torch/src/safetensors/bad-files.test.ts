// A corpus of malformed files, each with what a reader must say of it. None may be read, crash or take memory.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { CheckpointError, memory, openWeights, readSafetensors, tidy } from "../index.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-bad-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(header: string | Buffer, data = Buffer.alloc(0), announced?: bigint): Buffer {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(announced ?? BigInt(text.length));
  return Buffer.concat([length, text, data]);
}

const entry = (dtype: string, shape: unknown, offsets: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });
const one = (dtype: string, shape: unknown, offsets: unknown) => `{"a":${entry(dtype, shape, offsets)}}`;
const bytes = (count: number) => Buffer.alloc(count);

const corpus: [what: string, content: Buffer, message: RegExp][] = [
  ["empty", bytes(0), /0 bytes are too few/],
  ["shorter than a length", bytes(7), /7 bytes are too few/],
  ["an announced header past 100 MB", file("{}", bytes(0), 100_000_001n), /100000001 bytes is announced, 100000000/],
  ["an announced header of 2^64 - 1", file("{}", bytes(0), 2n ** 64n - 1n), /18446744073709551615/],
  ["a header past the end", file("{}", bytes(0), 3n), /announced, but the file has only 10/],
  ["no header", file(""), /does not begin with '{'/],
  [
    "a million small tensors",
    file(`{"a":[${'"b",'.repeat(1_100_000)}0]}`),
    /2200002 quotes and 1100000 commas, more than/,
  ],
  [
    "a shape of millions of sizes",
    file(one("U8", 7, [0, 1]).replace("7", `[${"0,".repeat(2_100_000)}0]`)),
    /more than any model's/,
  ],
  [
    "a name of megabytes",
    file(`{"${"n".repeat(9_000_000)}":7}`),
    /^[^…]{1,400}n… ?.*: its description is not an object/,
  ],
  ["space before the header", file(" {}"), /does not begin with '{'/],
  ["an array", file("[]"), /does not begin with '{'/],
  ["broken JSON", file('{"a":'), /is not JSON/],
  ["JSON and more", file("{}{}"), /is not JSON/],
  ["bytes that are no UTF-8", file(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])), /is not JSON/],
  [
    "a name twice",
    file(`{"a":${entry("U8", [1], [0, 1])},"a":${entry("U8", [1], [0, 1])}}`, bytes(1)),
    /key "a" twice/,
  ],
  [
    "a name twice, once escaped",
    file(`{"a":${entry("U8", [1], [0, 1])},"\\u0061":${entry("U8", [1], [1, 2])}}`, bytes(2)),
    /key "a" twice/,
  ],
  [
    "a dtype twice",
    file('{"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    /"dtype" twice/,
  ],
  ["metadata twice", file('{"__metadata__":{},"__metadata__":{}}'), /"__metadata__" twice/],
  ["metadata that is a number", file('{"__metadata__":{"a":1}}'), /not a map from text to text/],
  ["metadata that is text", file('{"__metadata__":"a"}'), /not a map from text to text/],
  ["a tensor that is null", file('{"a":null}'), /tensor "a": its description is not an object/],
  ["a tensor that is an array", file('{"a":[1]}'), /tensor "a": its description is not an object/],
  ["an unknown dtype", file(one("F128", [1], [0, 16]), bytes(16)), /tensor "a": dtype "F128"/],
  ["a dtype of prototypes", file(one("constructor", [1], [0, 1]), bytes(1)), /dtype "constructor"/],
  ["no dtype", file('{"a":{"shape":[1],"data_offsets":[0,1]}}', bytes(1)), /dtype undefined/],
  ["a negative size", file(one("U8", [-1], [0, 1]), bytes(1)), /shape \[-1\]/],
  ["a broken size", file(one("U8", [0.5], [0, 1]), bytes(1)), /shape \[0.5\]/],
  ["a size in words", file(one("U8", ["1"], [0, 1]), bytes(1)), /shape \["1"\]/],
  ["no shape", file('{"a":{"dtype":"U8","data_offsets":[0,1]}}', bytes(1)), /shape undefined/],
  [
    "a size past 2^53",
    file('{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]}}', bytes(1)),
    /is not a list/,
  ],
  [
    "a count that overflows",
    file(one("F64", [2 ** 31, 2 ** 31], [0, 8]), bytes(8)),
    /more elements than can be counted/,
  ],
  ["a count that wraps to zero", file(one("U8", [2 ** 32, 2 ** 32], [0, 0])), /more elements than can be counted/],
  ["three offsets", file(one("U8", [1], [0, 1, 2]), bytes(2)), /data_offsets \[0,1,2\]/],
  ["offsets in reverse", file(one("U8", [1], [1, 0]), bytes(1)), /ends at byte 0, before it begins at 1/],
  ["a negative offset", file(one("U8", [1], [-1, 0]), bytes(1)), /data_offsets \[-1,0\]/],
  ["more elements than bytes", file(one("F32", [2], [0, 4]), bytes(4)), /takes 8 bytes, its data_offsets span 4/],
  ["fewer elements than bytes", file(one("F32", [1], [0, 8]), bytes(8)), /takes 4 bytes, its data_offsets span 8/],
  ["data that begins late", file(one("U8", [1], [1, 2]), bytes(2)), /begins at byte 1.*a hole/],
  [
    "a hole",
    file(`{"a":${entry("U8", [1], [0, 1])},"b":${entry("U8", [1], [2, 3])}}`, bytes(3)),
    /tensor "b": it begins at byte 2, but the one before it ends at 1: a hole/,
  ],
  [
    "an overlap",
    file(`{"a":${entry("U8", [2], [0, 2])},"b":${entry("U8", [2], [1, 3])}}`, bytes(3)),
    /tensor "b": it begins at byte 1, inside of another/,
  ],
  [
    "two tensors on the same bytes",
    file(`{"a":${entry("U8", [2], [0, 2])},"b":${entry("U8", [2], [0, 2])}}`, bytes(2)),
    /tensor "b": it begins at byte 0, inside of another/,
  ],
  ["data that was cut off", file(one("U8", [4], [0, 4]), bytes(3)), /ends at byte 4 of the data, which has only 3/],
  ["data that was appended", file(one("U8", [4], [0, 4]), bytes(9)), /5 bytes after the last tensor/],
  [
    "a size past every number",
    file('{"a":{"dtype":"U8","shape":[1e999],"data_offsets":[0,1]}}', bytes(1)),
    /is not a list/,
  ],
  ["an offset past 2^53", file(one("U8", [1], [2 ** 53, 2 ** 53 + 2]), bytes(1)), /is not a range/],
  [
    "an offset far past the end",
    file(one("U8", [1], [2 ** 52, 2 ** 52 + 1]), bytes(1)),
    /begins at byte 4503599627370496/,
  ],
  ["a shape that is endless", file(`{"a":${"[".repeat(1e6)}${"]".repeat(1e6)}}`), /its description is not an object/],
  ["lists that never end", file(`{"a":${"[".repeat(1e6)}`), /is not JSON/],
  ["a header that ends early", file('{"a":{}}\0\0'), /is not JSON/],
  ["data of no tensor", file("{}", Buffer.from("\x80\x04pickle", "latin1")), /8 bytes after the last tensor/],
];

test.each(corpus)("%s", (what, content, message) => {
  const before = memory().tensors;
  const path = join(folder, `${what.replace(/\W+/g, "-")}.safetensors`);
  writeFileSync(path, content);
  expect(() => readSafetensors(path)).toThrow(CheckpointError);
  expect(() => readSafetensors(path)).toThrow(message);
  expect(() => readSafetensors(path)).toThrow(path);
  expect(() => openWeights(path)).toThrow(message);
  expect(memory().tensors).toBe(before);
});

test("a file that is not there, and a folder", () => {
  expect(() => readSafetensors(folder)).toThrow(CheckpointError);
  expect(() => readSafetensors(join(folder, "none"))).toThrow(CheckpointError);
});

test("odd but well-formed files are read", () => {
  const odd: [Buffer, number][] = [
    [file("{}"), 0],
    [file("{}      "), 0],
    [file('{"__metadata__":{"":""}}'), 0],
    [file(`{"__proto__":${entry("U8", [1], [0, 1])}}`, bytes(1)), 1],
    [file(`{"b":${entry("U8", [0], [1, 1])},"a":${entry("U8", [], [0, 1])}}`, bytes(1)), 2],
    [file(`{"{\\"a\\":[":${entry("U8", [1, 1], [0, 1])}}`, bytes(1)), 1],
  ];
  for (const [content, count] of odd) {
    const path = join(folder, "odd.safetensors");
    writeFileSync(path, content);
    tidy(() => expect(readSafetensors(path).tensors.size).toBe(count));
  }
});
