// Against the Python package gguf: blocks of random bytes decode to the same bits, and the table of types is the same.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSafetensors, tidy } from "@asvr/torch";
import { afterAll, expect, test } from "vitest";
import { decoders } from "./dequantise.js";
import { openGguf } from "./file.js";
import { ggmlType } from "./types.js";

const python = process.env.PEER_PYTHON ?? "python3";
const needs = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ['gguf', 'numpy', 'safetensors'])))";
const hasGguf = spawnSync(python, ["-c", needs]).status === 0;
const folder = mkdtempSync(join(tmpdir(), "asvr-gguf-peer-"));
afterAll(() => rmSync(folder, { recursive: true }));

const script = `
import json, sys
import gguf, numpy
from safetensors.numpy import save_file
folder, names = sys.argv[1], sys.argv[2].split(",")
random = numpy.random.default_rng(0)
writer = gguf.GGUFWriter(folder + "/types.gguf", "none")
writer.add_array("words", ["a", "é", ""])
writer.add_uint64("large", 2**63)
writer.add_bool("yes", True)
want = {}
for name in names:
    kind = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    rows, columns = 5, 3 * elements
    raw = random.integers(0, 256, (rows, 3 * size), dtype=numpy.uint8)
    values = gguf.dequantize(raw, kind)
    values = numpy.where(numpy.isfinite(values), values, 0).astype(numpy.float32)
    want[name] = values
    writer.add_tensor(name, raw, raw_dtype=kind)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
save_file(want, folder + "/want.safetensors")
print(json.dumps([[kind.value, kind.name, *gguf.GGML_QUANT_SIZES[kind]] for kind in gguf.GGMLQuantizationType]))
`;

test.skipIf(!hasGguf)(
  "types and blocks, against the Python package gguf (needs PEER_PYTHON, a python with it)",
  () => {
    const names = Object.keys(decoders).filter((name) => name !== "F64");
    const made = spawnSync(python, ["-W", "ignore", "-c", script, folder, names.join()], { encoding: "utf8" });
    expect(made.stderr + made.status).toBe("0");
    for (const [id, name, elements, bytes] of JSON.parse(made.stdout) as [number, string, number, number][]) {
      const own = ggmlType(id);
      if (own) expect([id, own]).toEqual([id, { name, elements, bytes }]);
    }
    tidy(() => {
      const want = readSafetensors(join(folder, "want.safetensors")).tensors;
      using file = openGguf(join(folder, "types.gguf"));
      expect([file.metadata.get("words"), file.metadata.get("large"), file.metadata.get("yes")]).toEqual([
        ["a", "é", ""],
        2n ** 63n,
        true,
      ]);
      expect([...file.entries.keys()]).toEqual(names);
      for (const name of names) {
        const found = file.tensor(name);
        const finite = found.maskedFill(found.isfinite().logicalNot(), 0);
        expect([name, finite.equal(want.get(name)!)]).toEqual([name, true]);
      }
    });
  },
  240_000,
);
