// Which numbers a tensor of a torch.save file has, and that none lies outside of its storage.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, expect, test } from "vitest";
import { CheckpointError, type DType, memory, openWeights, tidy } from "../index.js";
import { cpuSeconds, op, pickle, pickledTensor, storage, torchFile, u32, zip } from "./torch-file.fixture.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-torch-file-"));
const path = join(folder, "pytorch_model.bin");
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));
afterAll(() => rmSync(folder, { recursive: true }));

/** Opens a file and gives its tensors' values, by name. */
function values(content: Uint8Array, inside?: string): Record<string, number[]> {
  writeFileSync(path, content);
  using weights = openWeights(path, inside === undefined ? {} : { inside });
  return tidy(() => Object.fromEntries([...weights.tensors()].map(([name, tensor]) => [name, tensor.toNumbers()])));
}

const six = Float32Array.of(0, 1, 2, 3, 4, 5);
const floats = (count = 6) => storage("FloatStorage", "0", count);

test.each([64, 4, 1, 7])("views, strides and offsets, with data aligned to %i", (alignment) => {
  const content = torchFile(
    op.dict({
      whole: pickledTensor(floats(), [2, 3], [3, 1]),
      transposed: pickledTensor(floats(), [3, 2], [1, 3]),
      part: pickledTensor(floats(), [2], [1], 3),
      everySecond: pickledTensor(floats(), [2], [2], 1),
      repeated: pickledTensor(floats(), [2, 2], [0, 1], 4),
      overlapping: pickledTensor(floats(), [3, 2], [1, 1], 2),
      scalar: pickledTensor(floats(), [], [], 5),
      empty: pickledTensor(floats(), [0, 3], [3, 1], 6),
    }),
    { 0: six },
    { alignment },
  );
  expect(values(content)).toEqual({
    whole: [0, 1, 2, 3, 4, 5],
    transposed: [0, 3, 1, 4, 2, 5],
    part: [3, 4],
    everySecond: [1, 3],
    repeated: [4, 5, 4, 5],
    overlapping: [2, 3, 3, 4, 4, 5],
    scalar: [5],
    empty: [],
  });
});

test.each<[string, DType, ArrayBufferView, number[]]>([
  ["DoubleStorage", "float64", Float64Array.of(0.1, -2), [0.1, -2]],
  ["FloatStorage", "float32", Float32Array.of(0.5, -2), [0.5, -2]],
  ["HalfStorage", "float16", Uint16Array.of(0x3c00, 0xc000), [1, -2]],
  ["BFloat16Storage", "bfloat16", Uint16Array.of(0x3f80, 0xc000), [1, -2]],
  ["LongStorage", "int64", BigInt64Array.of(2n ** 40n, -1n), [2 ** 40, -1]],
  ["IntStorage", "int32", Int32Array.of(2 ** 30, -1), [2 ** 30, -1]],
  ["ShortStorage", "int16", Int16Array.of(300, -1), [300, -1]],
  ["CharStorage", "int8", Int8Array.of(100, -1), [100, -1]],
  ["ByteStorage", "uint8", Uint8Array.of(200, 1), [200, 1]],
  ["BoolStorage", "bool", Uint8Array.of(1, 0), [1, 0]],
])("%s is %s", (type, dtype, data, numbers) => {
  writeFileSync(path, torchFile(op.dict({ a: pickledTensor(storage(type, "x", 2), [2], [1]) }), { x: data }));
  using weights = openWeights(path);
  expect(weights.entries.get("a")).toEqual({ shape: [2], dtype, file: path });
  using tensor = weights.tensor("a");
  expect(tensor.dtype).toBe(dtype);
  expect(tensor.toNumbers()).toEqual(numbers);
});

test("a storage of bytes takes the tensor's dtype", () => {
  const bytes = storage("torch.storage.UntypedStorage", "0", 8);
  const content = torchFile(op.dict({ a: pickledTensor(bytes, [3], [1], 1, "uint16") }), {
    0: Uint16Array.of(1, 2, 3, 65535),
  });
  expect(values(content)).toEqual({ a: [2, 3, 65535] });
});

test("tensors that share a storage share it here, and not with the file", () => {
  const content = torchFile(
    op.dict({ a: pickledTensor(floats(), [6], [1]), b: pickledTensor(floats(), [2], [1], 2) }),
    { 0: six },
  );
  writeFileSync(path, content);
  using weights = openWeights(path);
  tidy(() => {
    weights.tensor("a").zero_();
    expect(weights.tensor("b").toNumbers()).toEqual([0, 0]);
    using again = openWeights(path);
    expect(again.tensor("b").toNumbers()).toEqual([2, 3]);
  });
});

test("files of torch before 2.1, without a byte order and without zip64, are read", () => {
  const records = [
    { name: "m/data.pkl", data: pickle(op.dict({ a: pickledTensor(floats(), [6], [1]) })) },
    { name: "m/data/0", data: new Uint8Array(six.buffer) },
    { name: "m/version", data: Buffer.from("3\n") },
  ];
  expect(values(zip(records, { zip64: false }))).toEqual({ a: [0, 1, 2, 3, 4, 5] });
});

const tensorOf = (shape: number[], strides: number[], offset = 0, count = 6) =>
  torchFile(op.dict({ a: pickledTensor(floats(count), shape, strides, offset) }), { 0: six });
const plain = { name: "a/data.pkl", data: pickle(op.none) };
const version = { name: "a/version", data: Buffer.from("3\n") };
const refused: [what: string, content: Uint8Array, message: RegExp][] = [
  ["more elements than the storage", tensorOf([7], [1]), /tensor "a": shape \(7\).*beyond its storage of 24 bytes/],
  ["an offset past the storage", tensorOf([1], [1], 6), /offset 6 reach beyond/],
  ["an offset near 2^53", tensorOf([2], [1], 2 ** 53 - 1), /reach beyond/],
  ["strides past the storage", tensorOf([2, 3], [4, 1]), /reach beyond/],
  ["a stride near 2^53", tensorOf([3], [2 ** 53 - 1]), /reach beyond/],
  ["elements that can't be counted", tensorOf([2 ** 31, 2 ** 31], [0, 0]), /more elements than can be counted/],
  ["strides that wrap", tensorOf([2, 2], [2 ** 53 - 1, 2 ** 53 - 1]), /reach beyond/],
  ["a storage longer than its record", tensorOf([1], [1], 0, 7), /storage of 7 float32 is 24 bytes long, not 28/],
  ["a storage shorter than its record", tensorOf([1], [1], 0, 5), /storage of 5 float32 is 24 bytes long, not 20/],
  [
    "a storage that is missing",
    torchFile(op.dict({ a: pickledTensor(floats(), [1], [1]) })),
    /record "archive\/data\/0", is not there/,
  ],
  [
    "a storage elsewhere",
    torchFile(op.dict({ a: pickledTensor(storage("FloatStorage", "../data.pkl", 1), [1], [1]) })),
    /record "archive\/data\/..\/data.pkl", is not there/,
  ],
  ["big-endian numbers", torchFile(op.dict({}), {}, { byteOrder: "big" }), /byte order is "big"/],
  ["a version to come", torchFile(op.dict({}), {}, { version: "11\n" }), /version is "11\\n", known are 1 to 10/],
  ["a version that is none", torchFile(op.dict({}), {}, { version: "x" }), /version is "x"/],
  ["no version", zip([plain]), /version is undefined/],
  ["a huge version", torchFile(op.dict({}), {}, { version: "3".repeat(20) }), /it has 20 bytes, 16 are allowed/],
  ["two folders", zip([plain, { ...version, name: "b/version" }]), /not one of torch.save/],
  ["no folder", zip([{ ...plain, name: "data.pkl" }]), /not one of torch.save/],
  ["no pickle", zip([version]), /not one of torch.save/],
  ["an empty archive", zip([]), /not a zip archive/],
  ["TorchScript", zip([plain, version, { name: "a/constants.pkl", data: Buffer.alloc(1) }]), /a TorchScript program/],
  ["a pickle that runs code", torchFile(op.call(op.global("os", "system"), op.text("true"))), /asks for "os.system"/],
  ["a cut", tensorOf([6], [1]).subarray(0, -40), /cut off/],
  ["no bytes", Buffer.alloc(0), /not a zip archive/],
  [
    "the format before 1.6",
    Buffer.from("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "latin1"),
    /torch before 1.6.*save it again/,
  ],
  ["a tar archive", Buffer.concat([Buffer.alloc(257), Buffer.from("ustar")]), /a tar archive.*save it again/],
  ["a bare pickle", pickle(op.none), /a bare pickle/],
  ["a pointer of git-lfs", Buffer.from("version https://git-lfs.github.com/spec/v1\n"), /git lfs pull/],
  ["safetensors under another name", Buffer.concat([u32(2), u32(0), Buffer.from("{}")]), /named \*\.safetensors/],
  [
    "a dict that holds itself",
    torchFile(Buffer.concat([op.dict({}), op.put(0), op.text("a"), op.get(0), Buffer.from("s")])),
    /"a" holds itself|holds itself/,
  ],
  ["dicts nested too deep", torchFile(nested(200)), /nested more than 100 deep/],
  ["a bomb of dicts", torchFile(bomb(30)), /hold more than any state dict/],
  [
    "two tensors of one name",
    torchFile(
      op.dict({ "a.b": pickledTensor(floats(), [1], [1]), a: op.dict({ b: pickledTensor(floats(), [1], [1]) }) }),
      { 0: six },
    ),
    /two tensors are named "a.b"/,
  ],
];

function nested(depth: number): Buffer {
  let value = op.dict({});
  for (let i = 0; i < depth; i++) value = op.dict({ a: value });
  return value;
}

/** A dict of two that are one dict of two, and so on: 2^depth ways to the end. */
function bomb(depth: number): Buffer {
  let value: Buffer = op.dict({});
  for (let i = 0; i < depth; i++) value = op.dict({ a: Buffer.concat([value, op.put(i)]), b: op.get(i) });
  return value;
}

test.each(refused)("%s is refused", (_, content, message) => {
  writeFileSync(path, content);
  expect(cpuSeconds(() => expect(() => openWeights(path)).toThrow(CheckpointError))).toBeLessThan(1);
  expect(() => openWeights(path)).toThrow(message);
  expect(() => openWeights(path)).toThrow(path);
});

test("whatever is changed in a good file, its tensors are read or it is refused", () => {
  const tensors = { a: pickledTensor(floats(), [2, 3], [3, 1]), b: pickledTensor(floats(), [3, 2], [1, 3]) };
  const intact = torchFile(op.dict({ state_dict: op.dict(tensors), epoch: op.int(3) }), { 0: six });
  const pickleBytes = intact.indexOf("archive/byteorder");
  const place = fc.oneof(fc.nat(intact.length - 1), fc.nat(pickleBytes - 1));
  const change = fc.record({ at: place, to: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(200), (changes, cut) => {
      const bytes = Buffer.from(intact.subarray(0, intact.length - (cut > 150 ? cut : 0)));
      for (const { at, to } of changes) if (at < bytes.length) bytes[at] = to;
      try {
        values(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(CheckpointError);
        expect((error as Error).message).toContain(path);
      }
    }),
    { numRuns: 1500 },
  );
});
