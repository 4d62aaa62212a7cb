"""The peer's side of `startup`: from nothing to the end of the first training step."""

import json
import sys
import time

began = time.perf_counter()

import torch

from peer.prepared import Prepared
from peer.training import train_step

loaded = time.perf_counter()
options = json.loads(sys.argv[1])
torch.set_num_threads(options["threads"])

prepared = Prepared(options["folder"], options["row"])
batch = prepared.batch(0)
ready = time.perf_counter()
optimizer = prepared.optimizer()
learning_rate, max_norm = prepared.stage["learningRate"], prepared.stage["maxGradNorm"]
loss = train_step(optimizer, lambda: prepared.model.loss(batch), learning_rate, max_norm, "float32").item()
seconds = {"load libraries": loaded - began, "read files": ready - loaded, "optimizer and step": time.perf_counter() - ready}
print(json.dumps({"loss": loss, "seconds": seconds}), flush=True)
