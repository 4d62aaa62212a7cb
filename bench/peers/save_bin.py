"""A checkpoint of safetensors shards once more as files of torch.save, shard by shard: {"folder": ..., "out": ...}."""
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

run = json.loads(sys.argv[1])
folder, out = Path(run["folder"]), Path(run["out"])
out.mkdir(parents=True)
index = json.loads((folder / "model.safetensors.index.json").read_text())
names = {}
for name in sorted(set(index["weight_map"].values())):
    own = name.replace("model", "pytorch_model", 1).replace(".safetensors", ".bin")
    torch.save(load_file(folder / name), out / own)
    names[name] = own
weight_map = {weight: names[name] for weight, name in index["weight_map"].items()}
(out / "pytorch_model.bin.index.json").write_text(json.dumps({**index, "weight_map": weight_map}))
for file in folder.iterdir():
    if not file.name.endswith((".safetensors", ".index.json")):
        shutil.copy(file, out / file.name)
print(json.dumps({"shards": len(names)}))
