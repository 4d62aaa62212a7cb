import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CheckpointError, DisposedError, F, manualSeed, memory, nn, noGrad, tensor, tidy } from "@asvr/torch";
import fc from "fast-check";
import { afterAll, afterEach, expect, test } from "vitest";
import { ConfigError } from "../../errors.js";
import { LlamaForCausalLM } from "../../language/llama.js";
import { openGguf } from "./file.js";
import { readGgufHeader } from "./header.js";
import { loadGgufLanguageModel } from "./language-model.js";
import { ggufName, hasInterleavedRows } from "./names.js";
import { pairsFromHalves } from "./rows.js";
import { field, type GgufField, type GgufWeight, writeGguf } from "./write.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

const path = join(folder, "file.gguf");

/** Every kind of value, and tensors of three types. */
function writeSmall(): void {
  const metadata = new Map<string, GgufField>([
    ["general.architecture", field.string("none")],
    ["words", field.array("string", ["a", "é", ""])],
    ["numbers", field.array("float32", [1.5, -2])],
    ["truths", field.array("bool", [true, false])],
    ["nothing", field.array("int32", [])],
    ["large", { kind: "uint64", value: 2n ** 63n }],
    ["small", { kind: "int64", value: -5 }],
    ["byte", { kind: "int8", value: -1 }],
    ["exact", { kind: "float64", value: 0.1 }],
    ["yes", field.bool(true)],
  ]);
  tidy(() => {
    const weights = new Map<string, GgufWeight>([
      [
        "rows",
        {
          tensor: tensor([
            [1, 2, 3],
            [4, 5, 6],
          ]),
          type: "F32",
        },
      ],
      ["half", { tensor: tensor([0.1, 65504, -0]), type: "F16" }],
      ["brain", { tensor: tensor([[[1 / 3, 3e38]]]), type: "BF16" }],
    ]);
    writeGguf(path, metadata, weights);
  });
}

test("what was written is read: every kind of value, every type that can be written", () => {
  writeSmall();
  using file = openGguf(path);
  expect(Object.fromEntries(file.metadata)).toEqual({
    ...{ "general.architecture": "none", words: ["a", "é", ""], numbers: [1.5, -2], truths: [true, false] },
    ...{ nothing: [], large: 2n ** 63n, small: -5, byte: -1, exact: 0.1, yes: true },
  });
  tidy(() => {
    expect([...file.entries].map(([name, { shape, type }]) => [name, shape, type.name])).toEqual([
      ["rows", [2, 3], "F32"],
      ["half", [3], "F16"],
      ["brain", [1, 1, 2], "BF16"],
    ]);
    expect(file.tensor("rows").toNumbers()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(file.tensor("half").equal(tensor([0.1, 65504, -0]).to("float16").to("float32"))).toBe(true);
    expect(
      file.tensor("brain").equal(
        tensor([[[1 / 3, 3e38]]])
          .to("bfloat16")
          .to("float32"),
      ),
    ).toBe(true);
    expect(() => file.tensor("column")).toThrow(/no tensor "column".*rows, half, brain/);
    expect(() => file.readInto("rows", F.empty([3, 2]))).toThrow('"rows" is (2, 3), not (3, 2)');
  });
  file.dispose();
  expect(() => file.tensor("rows")).toThrow(DisposedError);
});

/** A small Llama's own file, as llama.cpp lays one out. */
function writeLlama(model: LlamaForCausalLM, change: (metadata: Map<string, GgufField>) => void = () => {}): void {
  const { config } = model;
  const metadata = new Map<string, GgufField>([
    ["general.architecture", field.string("llama")],
    ["llama.block_count", field.uint32(config.numHiddenLayers)],
    ["llama.embedding_length", field.uint32(config.hiddenSize)],
    ["llama.feed_forward_length", field.uint32(config.intermediateSize)],
    ["llama.attention.head_count", field.uint32(config.numAttentionHeads)],
    ["llama.attention.head_count_kv", field.uint32(config.numKeyValueHeads)],
    ["llama.attention.layer_norm_rms_epsilon", field.float32(config.rmsNormEps)],
    ["llama.rope.freq_base", field.float32(config.ropeTheta)],
  ]);
  change(metadata);
  noGrad(() =>
    tidy(() => {
      const weights = new Map<string, GgufWeight>();
      for (const [name, weight] of model.stateDict()) {
        const rows = hasInterleavedRows(name) ? pairsFromHalves(weight, 4) : weight;
        weights.set(ggufName(name), { tensor: rows, type: "F32" });
      }
      writeGguf(path, metadata, weights);
    }),
  );
}

const config = {
  ...{ vocabSize: 11, hiddenSize: 12, intermediateSize: 10, numHiddenLayers: 2, numAttentionHeads: 3 },
  ...{ numKeyValueHeads: 1, ropeTheta: 500, rmsNormEps: 0.5, attentionBias: false, headDim: 4 },
};

test.each([true, false])("a language model comes back as it was, tied embeddings: %s", (tieWordEmbeddings) => {
  manualSeed(1);
  using model = new LlamaForCausalLM({ ...config, tieWordEmbeddings });
  writeLlama(model);
  using found = loadGgufLanguageModel(path);
  expect(found.config).toEqual(model.config);
  tidy(() => {
    const weights = model.stateDict();
    for (const [name, weight] of found.stateDict())
      expect([name, weight.equal(weights.get(name)!)]).toEqual([name, true]);
  });
  using brain = loadGgufLanguageModel(path, { dtype: "bfloat16" });
  expect(new Set(brain.parameters().map(({ dtype }) => dtype))).toEqual(new Set(["bfloat16"]));
});

test("errors name the file and the key, or the tensors", () => {
  using model = new LlamaForCausalLM({ ...config, tieWordEmbeddings: true });
  const load = (changes: Record<string, GgufField | undefined>) => {
    writeLlama(model, (metadata) => {
      for (const [key, value] of Object.entries(changes)) {
        if (value) metadata.set(key, value);
        else metadata.delete(key);
      }
    });
    return () => loadGgufLanguageModel(path);
  };
  expect(load({ "general.architecture": field.string("gpt2") })).toThrow(ConfigError);
  expect(load({ "general.architecture": field.string("gpt2") })).toThrow(
    /file\.gguf: general\.architecture is "gpt2"; this build reads llama, qwen2/,
  );
  expect(load({ "llama.block_count": undefined })).toThrow(/llama\.block_count is missing/);
  expect(load({ "llama.attention.head_count": field.string("3") })).toThrow(/llama\.attention\.head_count is "3"/);
  expect(load({ "llama.rope.scaling.type": field.string("yarn") })).toThrow(/rope\.scaling\.type is "yarn"/);
  expect(load({ "llama.expert_count": field.uint32(8) })).toThrow(/expert_count is 8/);
  expect(load({ "llama.rope.dimension_count": field.uint32(2) })).toThrow(/rope\.dimension_count is 2.*4 wide/);
  expect(load({ "llama.block_count": field.uint32(1) })).toThrow(CheckpointError);
  expect(load({ "llama.block_count": field.uint32(1) })).toThrow(/unexpected: blk\.1\.attn_norm\.weight/);
  expect(load({ "llama.block_count": field.uint32(3) })).toThrow(/missing: blk\.2\.attn_norm\.weight \(12\)/);
  expect(load({ "llama.feed_forward_length": field.uint32(9) })).toThrow(/ffn_up\.weight is \(10, 12\).*\(9, 12\)/);
  // No size that is only claimed is allocated.
  expect(load({ "llama.block_count": field.uint32(2 ** 32 - 1) })).toThrow(/block_count is 4294967295/);
  expect(load({ "llama.embedding_length": field.uint32(2 ** 30) })).toThrow(/shape: token_embd\.weight/);
});

const uint64 = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};
const uint32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const string = (text: string) => Buffer.concat([uint64(BigInt(text.length)), Buffer.from(text)]);
const start = (tensors: bigint, pairs: bigint) =>
  Buffer.concat([Buffer.from("GGUF"), uint32(3), uint64(tensors), uint64(pairs)]);
const pair = (kind: number, ...value: Buffer[]) => Buffer.concat([start(0n, 1n), string("k"), uint32(kind), ...value]);
const described = (sizes: readonly bigint[], type: number, offset: bigint) =>
  Buffer.concat([string("t"), uint32(sizes.length), ...sizes.map(uint64), uint32(type), uint64(offset)]);
const one = (sizes: readonly bigint[], type = 0, offset = 0n, data = 64) =>
  Buffer.concat([start(1n, 0n), described(sizes, type, offset), Buffer.alloc(data + 64)]);

const malformed: readonly (readonly [what: string, content: Buffer, message: RegExp])[] = [
  ["empty", Buffer.alloc(0), /does not begin with "GGUF"/],
  ["another format", Buffer.alloc(100, "x"), /does not begin with "GGUF"/],
  ["its mark alone", Buffer.from("GGUF"), /20 bytes that follow/],
  ["version 1", Buffer.concat([Buffer.from("GGUF"), uint32(1), Buffer.alloc(16)]), /of version 1; 2 and 3/],
  ["big-endian", Buffer.concat([Buffer.from("GGUF"), uint32(3 << 24), Buffer.alloc(16)]), /big-endian/],
  ["2^64 - 1 tensors", start(2n ** 64n - 1n, 0n), /18446744073709551615 tensors are announced/],
  ["2^60 metadata entries", start(0n, 2n ** 60n), /1152921504606846976 metadata entries/],
  [
    "a key of 2^63 bytes",
    Buffer.concat([start(0n, 1n), uint64(2n ** 63n), Buffer.alloc(64)]),
    /9223372036854775808 bytes of the key/,
  ],
  ["a kind that is none", pair(13, Buffer.alloc(64)), /metadata "k" is of the unknown kind 13/],
  ["a truth value of 2", pair(7, Buffer.alloc(64, 2)), /truth value is 0 or 1/],
  ["an array of arrays", pair(9, uint32(9), uint64(1n), Buffer.alloc(64)), /array of arrays/],
  [
    "2^62 numbers",
    pair(9, uint32(4), uint64(2n ** 62n), Buffer.alloc(64)),
    /4611686018427387904 elements of metadata "k"/,
  ],
  ["2^61 texts", pair(9, uint32(8), uint64(2n ** 61n), Buffer.alloc(64)), /2305843009213693952 elements/],
  ["text that is no UTF-8", pair(8, uint64(1n), Buffer.from([0xff]), Buffer.alloc(64)), /metadata "k" is no UTF-8/],
  ["text past the end", pair(8, uint64(90n), Buffer.alloc(64)), /90 bytes of metadata "k" are announced/],
  [
    "an alignment of 3",
    Buffer.concat([start(0n, 1n), string("general.alignment"), uint32(4), uint32(3)]),
    /alignment is 3/,
  ],
  ["no dimension", one([]), /tensor "t" has 0 dimensions/],
  ["five dimensions", one([1n, 1n, 1n, 1n, 1n]), /has 5 dimensions/],
  ["an empty dimension", one([4n, 0n]), /4 x 0 elements/],
  ["sizes whose product overflows", one([2n ** 32n, 2n ** 32n]), /4294967296 x 4294967296/],
  ["a type that is none", one([4n], 99), /unknown type 99/],
  ["a withdrawn type", one([32n], 4), /unknown type 4/],
  ["rows of no whole block", one([33n], 2), /rows of 33, but Q4_0 stores blocks of 32/],
  ["a place between two", one([4n], 0, 8n), /begins at 8, which is no multiple of 32/],
  ["a place past the end", one([4n], 0, 2n ** 60n), /the file ends at/],
  ["more elements than bytes", one([2n ** 40n]), /takes 4398046511104 bytes/],
  [
    "a tensor twice",
    Buffer.concat([start(2n, 0n), described([4n], 0, 0n), described([4n], 0, 32n), Buffer.alloc(128)]),
    /"t" is there twice/,
  ],
  [
    "a key twice",
    Buffer.concat([start(0n, 2n), string("k"), uint32(0), Buffer.of(1), string("k"), uint32(0), Buffer.of(1)]),
    /"k" twice/,
  ],
  [
    "tensors that overlap",
    Buffer.concat([start(2n, 0n), described([16n], 0, 0n), described([4n], 0, 32n).fill("u", 8, 9), Buffer.alloc(128)]),
    /"u" begins inside of "t"/,
  ],
];

test.each(malformed)("a malformed file is refused at once: %s", (_, content, message) => {
  writeFileSync(path, content);
  const begun = performance.now();
  expect(() => readGgufHeader(path)).toThrow(CheckpointError);
  expect(() => readGgufHeader(path)).toThrow(message);
  expect(performance.now() - begun).toBeLessThan(1000);
});

test("no file, a folder, a header that never ends", () => {
  expect(() => openGguf(join(folder, "none"))).toThrow(/none: can't be read: ENOENT/);
  expect(() => openGguf(folder)).toThrow(CheckpointError);
  const sparse = (content: Buffer) => {
    writeFileSync(path, content);
    truncateSync(path, 200_000_000);
    return () => openGguf(path).dispose();
  };
  expect(sparse(pair(9, uint32(0), uint64(100_000_000n)))).toThrow(
    /100000000 elements of metadata "k".*2097152 are allowed/,
  );
  expect(sparse(pair(8, uint64(100_000_000n)))).toThrow(/100000000 bytes of metadata "k".*33554432 are allowed/);
  expect(sparse(pair(8, uint64(33_000_000n)))).not.toThrow();
  const long = Buffer.concat([start(0n, 2n), string("a"), uint32(8), uint64(30_000_000n), Buffer.alloc(30_000_000)]);
  const twice = Buffer.concat([long, string("b"), uint32(8), uint64(30_000_000n)]);
  expect(sparse(twice)).toThrow(/header is longer than 33554432 bytes, at metadata "b"/);
  expect(sparse(start(1_000_000n, 0n))).toThrow(/1000000 tensors are announced, 65536 are allowed/);
  expect(sparse(start(0n, 1_000_000n))).toThrow(/1000000 metadata entries are announced, 65536 are allowed/);
});

test("a file that was cut off or changed is read or refused, never anything else", () => {
  writeSmall();
  const whole = readFileSync(path);
  const read = (content: Uint8Array) => {
    writeFileSync(path, content);
    try {
      using file = openGguf(path);
      tidy(() => {
        for (const name of file.entries.keys()) file.tensor(name);
      });
    } catch (error) {
      expect(error).toBeInstanceOf(CheckpointError);
    }
  };
  fc.assert(fc.property(fc.nat({ max: whole.length - 1 }), (length) => read(whole.subarray(0, length))));
  const changes = fc.array(fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 })), {
    minLength: 1,
    maxLength: 8,
  });
  fc.assert(
    fc.property(changes, (bytes) => {
      const changed = Buffer.from(whole);
      for (const [at, value] of bytes) changed[at] = value;
      read(changed);
    }),
    { numRuns: 300 },
  );
});

test("a cut language model is refused", () => {
  using model = nn.creating({ device: "cpu" }, () => new LlamaForCausalLM({ ...config, tieWordEmbeddings: true }));
  writeLlama(model);
  truncateSync(path, readFileSync(path).length - 64);
  expect(() => loadGgufLanguageModel(path)).toThrow(/it may have been cut off/);
});
