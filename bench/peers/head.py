"""The peer's side of `head`: loss and gradients for one picture, with its logits whole: of the classifiers, or of all."""

import json
import re
import sys
import time

import torch

from peer.resident import peak_resident_bytes, reset_peak, resident_bytes
from peer.visual_head import VisualHead

options = json.loads(sys.argv[1])
torch.set_num_threads(options["threads"])
config, positions = options["config"], options["positions"]

with torch.device("meta"):
    head = VisualHead(config)
head = head.to_empty(device="cpu")
# The same numbers on both sides: libtorch's generator, seeded anew for each weight in the order of their names.
with torch.no_grad():
    for seed, (name, weight) in enumerate(sorted(head.named_parameters())):
        torch.manual_seed(seed)
        if re.search(r"norm\d?\.weight$", name):
            weight.fill_(1)
        else:
            weight.uniform_(-0.02, 0.02)
torch.manual_seed(1000)
whole = options["part"] == "whole"
width = (positions, config["hiddenSize"]) if whole else (positions, config["depth"], config["embedDim"])
states = torch.rand(*width).sub_(0.5).requires_grad_()
cumulative = torch.rand(positions, config["depth"], config["codeDim"]).sub_(0.5)
codes = (torch.rand(positions, config["depth"]) * config["codebookSize"]).floor().long()
parameters = list((head if whole else head.rqtransformer_semantic.heads).parameters())


def run(count):
    """Loss and gradients of the first `count` positions."""
    some = [tensor[:count] for tensor in (states, cumulative, codes)]
    nll = head.nll(*some) if whole else head.nll_of_features(some[0], some[2])
    nll.backward()
    return nll.item()


def zero_gradients():
    for tensor in [states, *parameters]:
        tensor.grad.zero_()


def norm(tensors):
    return torch.stack([tensor.grad.norm() for tensor in tensors]).norm().item()


run(8)  # gradients exist now, and libtorch has prepared itself
zero_gradients()
before = resident_bytes()
reset_peak()
loss = run(positions)
used = peak_resident_bytes() - before
norms = {"inputs": norm([states]), "parameters": norm(parameters)}
zero_gradients()
started = time.perf_counter()
run(positions)
seconds = time.perf_counter() - started
print(json.dumps({"loss": loss, "gradNorms": norms, "bytes": used, "seconds": seconds}))
