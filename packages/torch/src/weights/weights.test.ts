import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { CheckpointError, DisposedError, memory, nn, openWeights, tensor, tidy, writeSafetensors } from "../index.js";
import { storedFile } from "./stored.js";
import { op, pickledTensor, storage, torchFile } from "./torch-file.fixture.js";

const root = mkdtempSync(join(tmpdir(), "asvr-weights-"));
let folder = root;
let count = 0;
const before = memory().tensors;
beforeEach(() => {
  folder = join(root, String(count++));
  mkdirSync(folder);
});
afterEach(() => expect(memory().tensors).toBe(before));
afterAll(() => rmSync(root, { recursive: true }));

const inFolder = (name: string) => join(folder, name);

function safetensors(name: string, values: Record<string, number[]>): void {
  tidy(() => writeSafetensors(inFolder(name), new Map(Object.entries(values).map(([key, row]) => [key, tensor(row)]))));
}

const one = pickledTensor(storage("FloatStorage", "0", 2), [2], [1]);
function bin(name: string, value = op.dict({ a: one }), numbers = [7, 8]): void {
  writeFileSync(inFolder(name), torchFile(value, { 0: Float32Array.from(numbers) }));
}

function index(name: string, weightMap: unknown): void {
  writeFileSync(inFolder(name), JSON.stringify({ metadata: { total_size: 1 }, weight_map: weightMap }));
}

test("names, shapes and dtypes are known before a tensor is read, and what was chosen", () => {
  safetensors("model.safetensors", { b: [1, 2], a: [3] });
  using weights = openWeights(folder);
  const path = inFolder("model.safetensors");
  expect([...weights.entries]).toEqual([
    ["a", { shape: [1], dtype: "float32", file: path }],
    ["b", { shape: [2], dtype: "float32", file: path }],
  ]);
  expect(weights).toMatchObject({ source: path, format: "safetensors", files: [path], inside: "" });
  expect(String(weights)).toBe(`${path}: 2 tensors, format safetensors`);
});

test("a tensor outlives the weights that it came from", () => {
  safetensors("model.safetensors", { a: [1, 2] });
  const weights = openWeights(folder);
  using kept = weights.tensor("a");
  weights.dispose();
  weights.dispose();
  expect(kept.toNumbers()).toEqual([1, 2]);
  expect(() => weights.tensor("a")).toThrow(DisposedError);
});

test("a scope frees tensors, not the weights", () => {
  safetensors("model.safetensors", { a: [1, 2] });
  const weights = tidy(() => openWeights(folder));
  tidy(() => {
    weights.tensors();
  });
  expect(tidy(() => weights.tensor("a").toNumbers())).toEqual([1, 2]);
  weights.dispose();
});

test("a name that is not there is an error that says which are", () => {
  safetensors("model.safetensors", { a: [1] });
  using weights = openWeights(folder);
  expect(() => weights.tensor("toString")).toThrow(/no tensor "toString". There are 1: "a"/);
});

test("a module loads them, by prefix", () => {
  class Network extends nn.Module {
    readonly scale = nn.parameter([2], (empty) => empty.zero_());
  }
  safetensors("model.safetensors", { "net.scale": [5, 6], "other.scale": [1, 2] });
  using weights = openWeights(folder);
  using network = new Network();
  tidy(() => network.load(weights.tensors("net."), { prefix: "net." }));
  expect(network.scale.toNumbers()).toEqual([5, 6]);
});

test("shards are one checkpoint; links are followed", () => {
  safetensors("blob", { a: [1], "tied.a": [1] });
  symlinkSync("blob", inFolder("model-1-of-2.safetensors"));
  safetensors("model-2-of-2.safetensors", { b: [2] });
  index("model.safetensors.index.json", { a: "model-1-of-2.safetensors", b: "model-2-of-2.safetensors" });
  using weights = openWeights(folder);
  expect(weights.source).toBe(inFolder("model.safetensors.index.json"));
  expect(weights.files).toEqual([inFolder("model-1-of-2.safetensors"), inFolder("model-2-of-2.safetensors")]);
  expect(weights.entries.get("b")?.file).toBe(inFolder("model-2-of-2.safetensors"));
  expect([...weights.entries.keys()]).toEqual(["a", "tied.a", "b"]);
  expect(tidy(() => [weights.tensor("a").item(), weights.tensor("b").item()])).toEqual([1, 2]);
  expect(String(weights)).toMatch(/3 tensors in 2 files/);
});

test("shards of torch.save", () => {
  bin("pytorch_model-1.bin", op.dict({ a: one }), [1, 2]);
  bin("pytorch_model-2.bin", op.dict({ b: one }), [3, 4]);
  index("pytorch_model.bin.index.json", { a: "pytorch_model-1.bin", b: "pytorch_model-2.bin" });
  using weights = openWeights(folder);
  expect(weights.format).toBe("torch");
  expect(tidy(() => weights.tensor("b").toNumbers())).toEqual([3, 4]);
});

test("safetensors come before torch.save, the usual name before others, an index before its shards", () => {
  const chosen = () => {
    using weights = openWeights(folder);
    return weights.source.slice(folder.length + 1);
  };
  writeFileSync(inFolder("config.json"), "{}");
  bin("mm_projector.bin");
  expect(chosen()).toBe("mm_projector.bin");
  bin("training_args.bin");
  expect(() => chosen()).toThrow(/none of its 2 files of weights.*mm_projector.bin, training_args.bin/);
  bin("pytorch_model.bin");
  expect(chosen()).toBe("pytorch_model.bin");
  rmSync(inFolder("pytorch_model.bin"));
  safetensors("adapter.safetensors", { a: [1] });
  expect(chosen()).toBe("adapter.safetensors");
  safetensors("other.safetensors", { b: [1] });
  expect(() => chosen()).toThrow(/Name one; shards are opened by their \*\.index\.json/);
  index("diffusion.safetensors.index.json", { a: "adapter.safetensors" });
  expect(chosen()).toBe("diffusion.safetensors.index.json");
  index("model.safetensors.index.json", { b: "other.safetensors" });
  expect(chosen()).toBe("model.safetensors.index.json");
  safetensors("model.safetensors", { c: [1] });
  expect(chosen()).toBe("model.safetensors");
});

test("a file that becomes another while it is opened is refused", () => {
  safetensors("a.safetensors", { a: [1] });
  const read = () => {
    safetensors("a.safetensors", { a: [2] });
    return { tensors: new Map() };
  };
  expect(() => storedFile(inFolder("a.safetensors"), read)).toThrow(/replaced or written to while it was being opened/);
});

test("nothing to open", () => {
  expect(() => openWeights(folder)).toThrow(/there are no weights. Looked for/);
  expect(() => openWeights(inFolder("none"))).toThrow(CheckpointError);
  expect(() => openWeights(inFolder("none.safetensors"))).toThrow(CheckpointError);
  mkdirSync(inFolder("model.safetensors"));
  expect(() => openWeights(folder)).toThrow(/this is no file/);
});

const broken: [what: string, weightMap: unknown, message: RegExp][] = [
  [
    "two missing shards",
    { a: "x.safetensors", b: "y.safetensors", c: "s.safetensors" },
    /2 of 3 shards are missing: x.safetensors, y.safetensors/,
  ],
  ["a shard above the folder", { a: "../s.safetensors" }, /tensor "a": "..\/s.safetensors" is no file of this folder/],
  ["a shard anywhere", { a: "/etc/s.safetensors" }, /is no file of this folder/],
  ["a shard of Windows", { a: "c:\\s.safetensors" }, /is no file of this folder/],
  ["the folder", { a: ".." }, /is no file of this folder/],
  ["a shard that is a number", { a: 1 }, /1 is no file of this folder/],
  ["a shard of another format", { a: "s.bin" }, /"s.bin" is of another format/],
  [
    "a tensor in no shard",
    { a: "s.safetensors", z: "s.safetensors" },
    /tensor "z" is not in s.safetensors: it is in none/,
  ],
  [
    "a tensor in another shard",
    { a: "s.safetensors", b: "s.safetensors", c: "t.safetensors" },
    /tensor "b" is not in s.safetensors: it is in t.safetensors/,
  ],
  [
    "a tensor in two shards",
    { a: "s.safetensors", c: "u.safetensors" },
    /tensor "a" is in both s.safetensors and u.safetensors/,
  ],
  ["a broken shard", { a: "s.safetensors", c: "broken.safetensors" }, /broken.safetensors: 3 bytes are too few/],
  ["no shards", {}, /its weight_map is empty/],
  ["no map", undefined, /it has no weight_map/],
  ["a list", ["s.safetensors"], /it has no weight_map/],
];

test.each(broken)("an index with %s", (_, weightMap, message) => {
  safetensors("s.safetensors", { a: [1] });
  safetensors("t.safetensors", { b: [1], c: [1] });
  safetensors("u.safetensors", { a: [1], c: [1] });
  writeFileSync(inFolder("broken.safetensors"), "{}{");
  index("model.safetensors.index.json", weightMap);
  expect(() => openWeights(folder)).toThrow(CheckpointError);
  expect(() => openWeights(folder)).toThrow(message);
});

test("an index that is no JSON, or names a tensor twice", () => {
  const path = inFolder("model.safetensors.index.json");
  for (const [text, message] of [
    ["{", /can't be read/],
    ["null", /no weight_map/],
    ['{"weight_map":{"a":"s.safetensors","a":"t.safetensors"}}', /the key "a" twice/],
  ] as const) {
    writeFileSync(path, text);
    expect(() => openWeights(path)).toThrow(CheckpointError);
    expect(() => openWeights(path)).toThrow(message);
  }
});

test("the one dict with tensors is opened, any other by its path", () => {
  const optimizer = op.dict({ state: op.dict({ 0: op.dict({ average: one }) }), groups: op.list(one) });
  bin(
    "a.pt",
    op.dict({ state_dict: op.dict({ "a.b": one, nested: op.dict({ c: one }) }), epoch: op.int(3), optimizer }),
  );
  const names = (inside?: string) => {
    using weights = openWeights(inFolder("a.pt"), inside === undefined ? {} : { inside });
    return [weights.inside, ...weights.entries.keys()];
  };
  expect(names()).toEqual(["state_dict", "a.b", "nested.c"]);
  expect(names("optimizer.state")).toEqual(["optimizer.state", "0.average"]);
  expect(names("optimizer.groups")).toEqual(["optimizer.groups", "0"]);
  expect(names("state_dict.a.b")).toEqual(["state_dict.a.b", ""]);
  expect(names("")).toEqual([
    "",
    "state_dict.a.b",
    "state_dict.nested.c",
    "optimizer.state.0.average",
    "optimizer.groups.0",
  ]);
  expect(() => names("model")).toThrow(/no "model" in it. There are: "state_dict", "epoch", "optimizer"/);
});

test("a dict that has tensors itself is opened as it is; of two that are as good neither", () => {
  bin("a.pt", op.dict({ a: one, state_dict: op.dict({ b: one }) }));
  using weights = openWeights(inFolder("a.pt"));
  expect([...weights.entries.keys()]).toEqual(["a", "state_dict.b"]);
  bin("b.pt", op.dict({ model: op.dict({ a: one }), ema: op.dict({ a: one }) }));
  expect(() => openWeights(inFolder("b.pt"))).toThrow(/tensors are in "model", "ema": say which to open, by `inside`/);
  safetensors("c.safetensors", { a: [1] });
  expect(() => openWeights(inFolder("c.safetensors"), { inside: "model" })).toThrow(/no dicts, there is no "model"/);
});
