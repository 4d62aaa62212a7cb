"""The peer's side of `operators`: nanoseconds of a call, case by case."""

import json
import sys
import timeit

import torch
import torch.nn.functional as F

options = json.loads(sys.argv[1])
torch.set_num_threads(options["threads"])

FORWARD = {
    "add": "a + b",
    "multiply by a number": "a * 2.5",
    "matrix product": "a @ b",
    "sum": "a.sum()",
    "view": "a.view(4)",
    "narrow": "a.narrow(0, 1, 1)",
    "cat of two": "cat((a, b))",
    "softmax": "x.softmax(-1)",
    "linear": "linear(x, weight, bias)",
}

CHAIN = """
weight.grad = None
bias.grad = None
(gelu(linear(x, weight, bias)) * 2.5).sum().backward()
"""


def inputs(requires_grad):
    """Inputs that begin alike on both sides, and the functions that the cases call."""

    def grid(rows, columns):
        return (torch.arange(rows * columns) % 7 / 7 - 0.5).view(rows, columns).requires_grad_(requires_grad)

    bias = torch.full((8,), 0.1, requires_grad=requires_grad)
    tensors = dict(a=grid(2, 2), b=grid(2, 2), x=grid(4, 8), weight=grid(8, 8), bias=bias)
    return dict(tensors, cat=torch.cat, linear=F.linear, gelu=F.gelu)


def nanoseconds(statement, names, calls=options["calls"]):
    """Median of several chunks, the first ones not counted. `timeit` writes the statement into its loop, so that no
    call is timed but those in it, and leaves the garbage collector off."""
    timer = timeit.Timer(statement, globals=names)
    timer.timeit(2 * calls)
    chunks = timer.repeat(options["chunks"], calls)
    return sorted(chunks)[len(chunks) // 2] / calls * 1e9


def times_of(names):
    return {name: nanoseconds(statement, names) for name, statement in FORWARD.items()}


recording = times_of(inputs(True))
chain = inputs(True)
chain["x"].requires_grad_(False)
recording["forward and backward"] = nanoseconds(CHAIN, chain, options["chainCalls"])
print(json.dumps({"plain": times_of(inputs(False)), "recording": recording}))
