// Pickles that run code in Python, exhaust memory, or are broken: each is refused, by name, before it has any effect.

import fc from "fast-check";
import { expect, test } from "vitest";
import { unpickle } from "./pickle.js";
import { PickledDType, PickledTensor, type PickleValue } from "./pickle-values.js";
import { cpuSeconds, op, pickle, pickledTensor, storage, u32 } from "./torch-file.fixture.js";

class Refused extends Error {}

function read(bytes: Uint8Array): PickleValue {
  return unpickle(bytes, (problem) => {
    throw new Refused(problem);
  });
}

const raw = (...parts: (string | Uint8Array)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)));
const orderedDict = op.call(op.global("collections", "OrderedDict"));

test.each<[string, Uint8Array, PickleValue]>([
  ["None", op.none, null],
  ["True", op.true, true],
  ["a byte", raw("K\xff"), 255],
  ["two bytes", raw("M\xfe\xff"), 65534],
  ["a negative number", op.int(-7), -7],
  ["a long", op.long(-2n, 1), -2],
  ["a long of nothing", op.long(0n, 0), 0],
  ["a long past 2^53", op.long(-(2n ** 70n), 10), -(2n ** 70n)],
  ["a float", op.float(-0.1), -0.1],
  ["text", op.text("\uFEFFé\0𝄞"), "\uFEFFé\0𝄞"],
  ["a list", op.list(op.int(1), op.list()), [1, []]],
  ["a tuple", op.tuple(op.int(1), op.none), [1, null]],
  ["a dict", op.dict({ a: op.int(1), __proto: op.none }), new Map<string, PickleValue>([["a", 1], ["__proto", null]])], // biome-ignore format: one value a line
  ["a set", op.call(op.global("__builtin__", "set"), op.list(op.int(1), op.int(1))), new Set([1])],
  ["a frozenset", op.call(op.global("builtins", "frozenset"), op.list(op.int(1))), new Set([1])],
  ["bytes", op.call(op.global("_codecs", "encode"), op.text("\0ÿ"), op.text("latin1")), Uint8Array.of(0, 255)],
  ["no bytes", op.call(op.global("__builtin__", "bytes")), new Uint8Array()],
  ["a size", op.call(op.global("torch", "Size"), op.tuple(op.int(2))), [2]],
  ["a device", op.call(op.global("torch", "device"), op.text("cuda"), op.int(1)), "cuda:1"],
  ["a dtype", op.global("torch", "bfloat16"), new PickledDType("bfloat16")],
  ["an OrderedDict with attributes", raw(orderedDict, op.dict({ _metadata: orderedDict }), op.build), new Map()],
])("%s", (_, opcodes, value) => {
  expect(read(pickle(opcodes))).toEqual(value);
});

test("what was kept is the same object again", () => {
  const [first, second] = read(pickle(op.list(raw(op.list(), op.put(70_000)), op.get(70_000)))) as PickleValue[];
  expect(first).toBe(second);
});

test("a tensor is described, a parameter is its tensor", () => {
  const described = pickledTensor(storage("FloatStorage", "0", 6), [2, 3], [1, 2], 0);
  const parameter = op.call(op.global("torch._utils", "_rebuild_parameter"), described, op.true, orderedDict);
  for (const opcodes of [described, parameter]) {
    const tensor = read(pickle(opcodes)) as PickledTensor;
    expect(tensor).toBeInstanceOf(PickledTensor);
    expect(tensor).toMatchObject({ dtype: "float32", shape: [2, 3], strides: [1, 2], offset: 0 });
    expect(tensor.storage).toMatchObject({ dtype: "float32", key: "0", count: 6 });
  }
});

const command = op.text("touch /tmp/asvr-was-run");
const float = storage("FloatStorage", "0", 1);
const rebuild = op.global("torch._utils", "_rebuild_tensor_v2");
const encode = op.global("_codecs", "encode");
const text = op.tuple(op.text("a".repeat(100_000)), op.text("latin1"));
const again = raw(op.get(0), op.get(1), op.reduce);
const refused: [what: string, bytes: Uint8Array, message: RegExp][] = [
  ["os.system", pickle(op.call(op.global("os", "system"), command)), /asks for "os.system".*nothing was run/],
  ["posix.system", pickle(op.call(op.global("posix", "system"), command)), /asks for "posix.system"/],
  ["eval", pickle(op.call(op.global("builtins", "eval"), command)), /asks for "builtins.eval"/],
  ["a global that is never called", pickle(op.global("os", "system")), /asks for "os.system"/],
  ["getattr", pickle(op.global("__builtin__", "getattr")), /asks for "__builtin__.getattr"/],
  ["another function of an allowed module", pickle(op.global("_codecs", "lookup")), /asks for "_codecs.lookup"/],
  ["a module in a name", pickle(op.global("torch", "_utils._rebuild_tensor_v2.__globals__")), /asks for "torch._utils/],
  ["torch.load", pickle(op.global("torch", "load")), /asks for "torch.load"/],
  ["a prototype", pickle(op.global("__proto__", "constructor")), /asks for "__proto__.constructor"/],
  ["a class of numpy", pickle(op.global("numpy.core.multiarray", "scalar")), /asks for "numpy.core.multiarray.scalar"/],
  ["a complex dtype", pickle(op.global("torch", "complex64")), /torch.complex64 is of a dtype that has no name here/],
  ["a quantized storage", pickle(op.global("torch", "QInt8Storage")), /QInt8Storage is of a dtype/],
  ["INST", pickle(raw("(", command, "ios\nsystem\n")), /opcode INST .*Nothing was run/],
  ["OBJ", pickle(raw("(", op.global("torch", "Size"), command, "o")), /opcode OBJ .*Nothing was run/],
  ["NEWOBJ", pickle(op.global("torch", "Size"), op.emptyTuple, raw("\x81")), /opcode NEWOBJ/],
  ["STACK_GLOBAL", pickle(op.text("os"), op.text("system"), raw("\x93")), /opcode STACK_GLOBAL/],
  ["EXT1", pickle(raw("\x82\x01")), /opcode EXT1/],
  ["EXT2", pickle(raw("\x83\x01\x00")), /opcode EXT2/],
  ["EXT4", pickle(raw("\x84\x01\x00\x00\x00")), /opcode EXT4/],
  ["PERSID", pickle(raw("Pstorage\n")), /opcode PERSID/],
  ["an unknown opcode", pickle(raw("\xff")), /opcode 0xff/],
  [
    "the state of a tensor",
    pickle(pickledTensor(float, [1], [1]), op.dict({ __setstate__: command }), op.build),
    /sets the state/,
  ],
  ["the state of a function", pickle(rebuild, op.dict({}), op.build), /sets the state of an object/],
  ["a call of text", pickle(op.text("eval"), op.tuple(command), op.reduce), /calls what is no function/],
  ["a call of a dtype", pickle(op.global("torch", "float32"), op.emptyTuple, op.reduce), /calls what is no function/],
  ["a call without a tuple", pickle(rebuild, op.list(), op.reduce), /called without a tuple/],
  [
    "a codec that runs",
    pickle(op.call(op.global("_codecs", "encode"), command, op.text("rot13"))),
    /other than latin1/,
  ],
  ["a persistent id of another kind", pickle(op.text("../../etc/passwd"), raw("Q")), /a persistent id that is not/],
  [
    "a persistent id of a module",
    pickle(op.tuple(op.text("module"), rebuild, op.text("0"), op.text("cpu"), op.int(1)), raw("Q")),
    /a persistent id that is not/,
  ],
  ["a storage of -1", pickle(storage("FloatStorage", "0", -1)), /a persistent id that is not/],
  ["a tensor of nothing", pickle(op.call(rebuild)), /a tensor without storage/],
  ["a tensor of a list", pickle(op.call(rebuild, op.list(), op.int(0))), /a tensor without storage/],
  ["a negative size", pickle(pickledTensor(float, [-1], [1])), /not two tuples of sizes/],
  ["a negative stride", pickle(pickledTensor(float, [1], [-1])), /not two tuples of sizes/],
  ["a negative offset", pickle(pickledTensor(float, [1], [1], -1)), /without storage or offset/],
  ["strides of another length", pickle(pickledTensor(float, [1, 1], [1])), /equally long/],
  [
    "65 dimensions",
    pickle(pickledTensor(float, Array(65).fill(1), Array(65).fill(1))),
    /65 dimensions, 64 are allowed/,
  ],
  [
    "a storage of bytes without dtype",
    pickle(pickledTensor(storage("torch.storage.UntypedStorage", "0", 1), [1], [1])),
    /without dtype/,
  ],
  [
    "hooks",
    pickle(op.call(rebuild, float, op.int(0), op.emptyTuple, op.emptyTuple, op.false, op.dict({ a: op.none }))),
    /a tensor with hooks/,
  ],
  [
    "a negated tensor",
    pickle(
      op.call(
        rebuild,
        float,
        op.int(0),
        op.emptyTuple,
        op.emptyTuple,
        op.false,
        op.dict({}),
        op.dict({ neg: op.true }),
      ),
    ),
    /a tensor with metadata/,
  ],
  ["no bytes", Buffer.alloc(0), /only 0 are left/],
  ["no protocol", raw("N."), /does not begin with its protocol/],
  ["protocol 4", raw("\x80\x04N."), /protocol 4, torch.save writes 2/],
  ["no end", raw("\x80\x02N"), /only 0 are left/],
  ["bytes after the end", raw(pickle(op.none), "N"), /1 bytes follow its end/],
  ["two values", pickle(op.none, op.none), /values that nothing took/],
  ["no value", pickle(), /takes a value where there is none/],
  ["a value below a mark", pickle(op.none, op.mark, op.reduce), /takes a value where there is none/],
  ["a mark that was never set", pickle(raw("t")), /a mark that it never set/],
  ["a value that was never kept", pickle(op.get(3)), /recalls value 3/],
  ["text past the end", raw("\x80\x02X", u32(0xffffffff), "a"), /4294967295 bytes are announced, but only 1 are left/],
  ["a long past the end", raw("\x80\x02\x8a\xff"), /255 bytes are announced/],
  ["a long of 2 GB", raw("\x80\x02\x8b", u32(0x7fffffff)), /opcode LONG4/],
  ["bytes of 2^64 - 1", raw("\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\xff"), /opcode BINBYTES8/],
  ["text that is no UTF-8", pickle(raw("X", u32(1), "\xff")), /not UTF-8/],
  ["a name without an end", raw("\x80\x02c", "a".repeat(1000)), /a name without an end within 256 bytes/],
  ["a key twice", pickle(raw("}(", op.text("a"), op.none, op.text("a"), op.none, "u")), /the key "a" twice/],
  ["a key without a value", pickle(raw("}(", op.text("a"), "u")), /a key without a value/],
  ["a key that is a list", pickle(raw("}", op.list(), op.none, "s")), /a key that is none/],
  ["an item of a list", pickle(raw("]", op.none, op.none, "s")), /an item of what is no dict/],
  ["an element of a tuple", pickle(raw(")", op.none, "a")), /appends to what is no list/],
  ["more bytes than are allowed", Buffer.alloc((32 << 20) + 1), /33554433 bytes, 33554432 are allowed/],
  ["a million marks", raw("\x80\x02", "(".repeat(8 << 20)), /makes more values/],
  ["a million values", raw("\x80\x02", "N".repeat(8 << 20)), /piles up more values/],
  ["a million dicts in each other", raw("\x80\x02", "]".repeat(8 << 20)), /piles up more values/],
  ["a million dicts beside each other", raw("\x80\x02]", "}a".repeat(4 << 20)), /makes more values/],
  [
    "gigabytes from one text",
    pickle(encode, op.put(0), text, op.put(1), ...Array(50).fill(again)),
    /makes more values/,
  ],
];

test.each(refused)("%s is refused", (_, bytes, message) => {
  let refusal: unknown;
  const seconds = cpuSeconds(() => {
    try {
      read(bytes);
    } catch (error) {
      refusal = error;
    }
  });
  expect(seconds).toBeLessThan(1);
  expect(refusal).toBeInstanceOf(Refused);
  expect((refusal as Error).message).toMatch(message);
  expect((refusal as Error).message.length).toBeLessThan(1000);
});

test("fifty thousand tensors are not too many", () => {
  const one = Buffer.concat([op.put(1), pickledTensor(float, [1], [1]), op.put(2)]);
  const items = Array.from({ length: 50_000 }, (_, i) => raw(op.text(`layer.${i}`), one, "s"));
  const dict = read(Buffer.concat([raw("\x80\x02}"), ...items, raw(".")]));
  expect((dict as Map<string, PickleValue>).size).toBe(50_000);
});

const good = pickle(
  op.dict({
    weight: raw(pickledTensor(storage("HalfStorage", "0", 6), [2, 3], [3, 1]), op.put(0)),
    tied: op.get(0),
    sizes: op.call(op.global("torch", "Size"), op.tuple(op.int(2))),
    notes: op.list(
      op.float(1.5),
      op.long(2n ** 60n, 8),
      op.call(op.global("_codecs", "encode"), op.text("ab"), op.text("latin1")),
    ),
  }),
);

test("whatever is changed in a good pickle, it is read or refused", () => {
  const change = fc.record({ at: fc.nat(good.length - 1), to: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 5 }), fc.nat(good.length), (changes, keep) => {
      const bytes = Buffer.from(keep % 3 === 0 ? good.subarray(0, keep) : good);
      for (const { at, to } of changes) if (at < bytes.length) bytes[at] = to;
      readOrRefuse(bytes);
    }),
    { numRuns: 3000 },
  );
});

test("any bytes, and any opcodes in any order, are read or refused", () => {
  const opcodes = fc.constantFrom(
    ...[..."N\x88\x89}])\x85\x86\x87t(aesuRbQ"].map((opcode) => raw(opcode)),
    ...[op.int(1), op.text("storage"), op.put(0), op.get(0), rebuild, op.global("collections", "OrderedDict"), float],
    ...[
      op.global("_codecs", "encode"),
      op.text("latin1"),
      op.global("__builtin__", "set"),
      raw("."),
      raw("i"),
      raw("\x93"),
    ],
  );
  const program = fc.array(opcodes, { maxLength: 40 }).map((parts) => pickle(...parts));
  const any = fc.uint8Array({ maxLength: 60 }).map((bytes) => pickle(bytes));
  fc.assert(fc.property(fc.oneof(program, any), readOrRefuse), { numRuns: 3000 });
});

function readOrRefuse(bytes: Uint8Array): void {
  try {
    read(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(Refused);
  }
}
