"""The peer's side of `micro-step`: tuning steps of the micro vision-language model from prepared files."""

import json
import sys
import time

import torch

from peer.prepared import Prepared
from peer.training import train_step

options = json.loads(sys.argv[1])
torch.set_num_threads(options["threads"])

prepared = Prepared(options["folder"], options["row"])
model, optimizer = prepared.model, prepared.optimizer()
warmup, steps = options["warmup"], options["warmup"] + options["steps"]
batches = [prepared.batch(step) for step in range(steps)]

losses = []
for step, batch in enumerate(batches):
    if step == warmup:
        started = time.perf_counter()
    learning_rate = prepared.learning_rate(step, steps)
    losses.append(
        train_step(
            optimizer, lambda: model.loss(batch), learning_rate, prepared.stage["maxGradNorm"], options["matmul"]
        )
    )
losses = torch.stack(losses).tolist()
seconds = time.perf_counter() - started
print(json.dumps({"secondsPerStep": seconds / options["steps"], "losses": losses}))
