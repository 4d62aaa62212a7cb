// Files that PyTorch itself wrote: every tensor has the bits that PyTorch gives it.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { CheckpointError, memory, openWeights, readSafetensors, tidy } from "../index.js";

const python = process.env.PEER_PYTHON ?? "python3";
const env = { ...process.env, CUDA_VISIBLE_DEVICES: "", OMP_NUM_THREADS: "1" };
const hasTorch =
  spawnSync(python, ["-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec('torch'))"]).status === 0;
const folder = mkdtempSync(join(tmpdir(), "asvr-peer-"));
afterAll(() => rmSync(folder, { recursive: true }));

// What openWeights is to give is written as safetensors by hand: python may not have that library.
const script = `
import collections, json, struct, sys, torch
folder = sys.argv[1]
base = torch.arange(24, dtype=torch.float32)
layer = torch.nn.Linear(3, 2)
state = collections.OrderedDict(layer.state_dict(prefix="layer."))
state._metadata = layer.state_dict()._metadata
state["transposed"] = base.view(4, 6).t()
state["part"] = base[5:11]
state["every"] = base[1::3]
state["expanded"] = base[:2].view(2, 1).expand(2, 3)
state["permuted"] = base.view(2, 3, 4).permute(2, 0, 1)
state["parameter"] = torch.nn.Parameter(base[:3].clone())
state["scalar"] = torch.tensor(2.5)
state["empty"] = torch.empty(0, 4)
names = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
         "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "uint16": "U16", "uint32": "U32"}
for name in names:
    state[name] = torch.randint(0, 2, (5,)).to(getattr(torch, name))
state["tied"] = state["layer.weight"]
header, data = {}, b""
order = sorted(state, key=lambda name: -state[name].element_size())
for name in order:
    tensor = state[name].detach()
    raw = bytes(tensor.contiguous().view(-1).view(torch.uint8).tolist()) if tensor.dim() and tensor.numel() else (
        bytes(tensor.reshape(1).view(torch.uint8).tolist()) if tensor.numel() else b"")
    header[name] = {"dtype": names[str(tensor.dtype)[6:]], "shape": list(tensor.shape),
                    "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(f"{folder}/want.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
torch.save(state, f"{folder}/plain.bin")
torch.save({"state_dict": state, "epoch": 3, "rate": 1e-3, "done": True, "size": torch.Size([1, 2]), "note": "é",
            "bytes": b"\\x00\\xff", "none": b"", "set": {1, 2}, "device": torch.device("cuda:0"), "dtype": torch.float16,
            "long": 2**70, "nested": [(1, [2.5, None])]}, f"{folder}/nested.pt")
torch.save(state, f"{folder}/old.pt", _use_new_zipfile_serialization=False)
torch.save(layer, f"{folder}/module.pt")
torch.save(torch.ones(2, dtype=torch.complex64), f"{folder}/complex.pt")
torch.save(collections.OrderedDict((f"layer.{i}.weight", torch.zeros(1)) for i in range(50_000)), f"{folder}/many.pt")
`;

test.skipIf(!hasTorch)(
  "files of torch.save, against PyTorch (needs PEER_PYTHON, a python with torch)",
  () => {
    const before = memory().tensors;
    const made = spawnSync(python, ["-c", script, folder], { env, encoding: "utf8" });
    expect(made.stderr + made.status).toMatch(/0$/);
    tidy(() => {
      const want = readSafetensors(join(folder, "want.safetensors")).tensors;
      for (const file of ["plain.bin", "nested.pt"]) {
        using weights = openWeights(join(folder, file));
        expect(weights.inside).toBe(file === "nested.pt" ? "state_dict" : "");
        expect([...weights.entries.keys()].sort()).toEqual([...want.keys()].sort());
        for (const [name, tensor] of want) {
          const read = weights.tensor(name);
          expect([name, read.dtype, read.shape]).toEqual([name, tensor.dtype, tensor.shape]);
          expect([name, read.equal(tensor)]).toEqual([name, true]);
        }
      }
      using many = openWeights(join(folder, "many.pt"));
      expect(many.entries.size).toBe(50_000);
    });
    for (const [file, message] of [
      ["old.pt", /torch before 1.6/],
      ["module.pt", /asks for "torch.nn.modules.linear.Linear".*nothing was run/],
      ["complex.pt", /dtype that has no name here/],
    ] as const) {
      expect(() => openWeights(join(folder, file))).toThrow(CheckpointError);
      expect(() => openWeights(join(folder, file))).toThrow(message);
    }
    expect(memory().tensors).toBe(before);
  },
  240_000,
);
