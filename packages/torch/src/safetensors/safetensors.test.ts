import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, expect, test } from "vitest";
import {
  CheckpointError,
  type DType,
  defaultDevice,
  F,
  memory,
  readSafetensors,
  readSafetensorsHeader,
  type Tensor,
  TorchError,
  tensor,
  tidy,
  writeSafetensors,
} from "../index.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-safetensors-"));
const path = join(folder, "model.safetensors");
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));
afterAll(() => rmSync(folder, { recursive: true }));

const dtypes: DType[] = [
  "uint8",
  "int8",
  "int16",
  "int32",
  "int64",
  "float16",
  "float32",
  "float64",
  "bool",
  "bfloat16",
  "uint16",
  "uint32",
];

/** Any bits, NaN included. */
function random(dtype: DType, shape: number[], device = "cpu"): Tensor {
  const whole = F.randint(0, 256, [...shape, 8], "uint8");
  if (dtype === "bool") return whole.select(-1, 0).gt(127).to({ device });
  if (dtype === "float64" || dtype === "int64") return whole.bitcast(dtype).squeeze(-1).to({ device });
  return whole.bitcast(dtype).select(-1, 0).to({ device }); // not contiguous
}

function expectSameBits(read: Tensor | undefined, written: Tensor): void {
  expect(read?.dtype).toBe(written.dtype);
  expect(read?.shape).toEqual(written.shape);
  const bits = (x: Tensor) =>
    F.empty([x.elementCount], x.dtype)
      .copy_(x.reshape([-1]))
      .bitcast("uint8");
  if (written.elementCount > 0) expect(bits(read!).equal(bits(written))).toBe(true);
}

test.each(dtypes)("%s goes out and comes back to the bit", (dtype) => {
  tidy(() => {
    const written = new Map([
      ["matrix", random(dtype, [3, 5])],
      ["scalar", random(dtype, [])],
      ["empty", random(dtype, [0, 7])],
      ["transposed", random(dtype, [4, 3]).transpose(0, 1)],
    ]);
    writeSafetensors(path, written);
    const { tensors } = readSafetensors(path);
    expect([...tensors.keys()].sort()).toEqual([...written.keys()].sort());
    for (const [name, value] of written) expectSameBits(tensors.get(name), value);
  });
});

test("tensors of another device and trainable ones are written", () => {
  tidy(() => {
    const parameter = F.randn([2, 3], undefined, defaultDevice()).setRequiresGrad(true);
    writeSafetensors(path, new Map([["parameter", parameter]]));
    const read = readSafetensors(path).tensors.get("parameter")!;
    expect(read.requiresGrad).toBe(false);
    expectSameBits(read, parameter.detach());
  });
});

test("any set of tensors and metadata survives, and its bytes do not depend on the order", () => {
  const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 });
  const name = fc.string({ unit: "grapheme" }).filter((text) => text !== "__metadata__");
  const content = fc.dictionary(name, fc.tuple(fc.constantFrom(...dtypes), shape), { maxKeys: 6 });
  fc.assert(
    fc.property(content, fc.dictionary(name, name, { maxKeys: 3 }), (described, metadata) =>
      tidy(() => {
        const tensors = Object.entries(described).map(([key, [dtype, sizes]]) => [key, random(dtype, sizes)] as const);
        writeSafetensors(path, new Map(tensors), metadata);
        const first = readFileSync(path);
        writeSafetensors(path, new Map(tensors.toReversed()), metadata);
        expect(readFileSync(path).equals(first)).toBe(true);
        const read = readSafetensors(path);
        expect({ ...read.metadata }).toEqual({ ...metadata });
        expect(read.tensors.size).toBe(tensors.length);
        for (const [key, value] of tensors) expectSameBits(read.tensors.get(key), value);
      }),
    ),
    { numRuns: 60 },
  );
});

test("a damaged header is refused with a CheckpointError, or reads as a well-formed file", () => {
  tidy(() => {
    const original = new Map([
      ["model.weight", tensor([[1, 2, 3]])],
      ["model.codes", tensor([1, 2], { dtype: "int64" })],
    ]);
    writeSafetensors(path, original, { format: "pt" });
  });
  const intact = readFileSync(path);
  const headerEnd = 8 + Number(intact.readBigUInt64LE(0));
  const damaged = join(folder, "damaged.safetensors");
  const change = fc.record({ at: fc.nat(headerEnd - 1), to: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: -20, max: 20 }),
      (changes, more) => {
        const bytes = Buffer.concat([
          intact.subarray(0, intact.length + Math.min(more, 0)),
          Buffer.alloc(Math.max(more, 0)),
        ]);
        for (const { at, to } of changes) bytes[at] = to;
        writeFileSync(damaged, bytes);
        tidy(() => {
          try {
            const { tensors } = readSafetensors(damaged);
            const total = [...tensors.values()].reduce(
              (sum, each) => sum + each.view([-1]).bitcast("uint8").elementCount,
              0,
            );
            expect(total).toBe(bytes.length - 8 - Number(bytes.readBigUInt64LE(0)));
          } catch (error) {
            expect(error).toBeInstanceOf(CheckpointError);
            expect((error as Error).message).toContain(damaged);
          }
        });
      },
    ),
    { numRuns: 500 },
  );
});

test("an unaligned tensor is copied, an aligned one mapped", () => {
  const header = Buffer.from(
    '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}   ',
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const data = Buffer.alloc(9);
  data.writeFloatLE(1.5, 1);
  data.writeFloatLE(-2.25, 5);
  writeFileSync(path, Buffer.concat([length, header, data]));
  tidy(() => expect(readSafetensors(path).tensors.get("b")!.toNumbers()).toEqual([1.5, -2.25]));
});

test("writing to a mapped tensor changes neither the file nor another reader", () => {
  tidy(() => {
    writeSafetensors(path, new Map([["a", tensor([1, 2])]]));
    const first = readSafetensors(path).tensors.get("a")!;
    first.zero_();
    expect(readSafetensors(path).tensors.get("a")!.toNumbers()).toEqual([1, 2]);
  });
});

test("a file is replaced whole while its old tensors live on", () => {
  tidy(() => {
    writeSafetensors(path, new Map([["a", tensor([1, 2])]]));
    const old = readSafetensors(path).tensors.get("a")!;
    writeSafetensors(path, new Map([["a", tensor([3, 4, 5])]]));
    expect(old.toNumbers()).toEqual([1, 2]);
    expect(readSafetensors(path).tensors.get("a")!.toNumbers()).toEqual([3, 4, 5]);
  });
});

test("a write that fails leaves the old file and nothing else", () => {
  tidy(() => {
    writeSafetensors(path, new Map([["a", tensor([1])]]));
    const withoutData = F.empty([3], "float32", "meta");
    const tensors = new Map([
      ["a", tensor([1, 2])],
      ["b", withoutData],
    ]);
    expect(() => writeSafetensors(path, tensors)).toThrow(TorchError);
    expect(readSafetensors(path).tensors.get("a")!.toNumbers()).toEqual([1]);
    expect(readdirSync(folder).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });
});

test("a name that the format keeps for itself is refused", () => {
  tidy(() => {
    const target = join(folder, "reserved.safetensors");
    expect(() => writeSafetensors(target, new Map([["__metadata__", tensor([1])]]))).toThrow(CheckpointError);
    expect(existsSync(target)).toBe(false);
  });
});

test("a tensor larger than a chunk is written whole, and the header alone can be read", () => {
  tidy(() => {
    const large = F.arange(0, 5_000_000, 1, "int32");
    writeSafetensors(path, new Map([["large", large]]), { step: "7" });
    const { entries, metadata, fileBytes } = readSafetensorsHeader(path);
    expect(entries.get("large")).toEqual({ dtype: "int32", shape: [5_000_000], begin: 0, end: 20_000_000 });
    expect(metadata).toEqual({ step: "7" });
    expect(fileBytes).toBe(statSync(path).size);
    expect(readSafetensors(path).tensors.get("large")!.equal(large)).toBe(true);
  });
});
