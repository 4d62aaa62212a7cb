"""The training step and its settings, the same for everything that is trained."""

import contextlib
import math

import torch


def optimizer_of(parameters, betas, weight_decay):
    return torch.optim.AdamW(list(parameters), betas=tuple(betas), weight_decay=weight_decay, fused=True)


def cosine_with_warmup(step, steps, learning_rate, warmup_ratio):
    """Rises from 0 to `learning_rate` in the warm-up, then falls along half a cosine to 0."""
    warmup = math.ceil(steps * warmup_ratio)
    if step < warmup:
        return learning_rate * step / max(1, warmup)
    progress = (step - warmup) / max(1, steps - warmup)
    return learning_rate * max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))


def matmul_in(dtype):
    """The context of a forward pass: matrix products in bfloat16, or everything in float32."""
    if dtype == "bfloat16":
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


def train_step(optimizer, loss_of, learning_rate, max_norm, dtype):
    """One optimizer step; returns the loss without its graph."""
    optimizer.zero_grad()
    with matmul_in(dtype):
        loss = loss_of()
    loss.backward()
    for group in optimizer.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], max_norm, foreach=True)
        group["lr"] = learning_rate
    optimizer.step()
    return loss.detach()


# Of everything but the rows, whose recipes say theirs.
SHARED = {"warmupRatio": 0.05, "betas": (0.9, 0.98), "weightDecay": 0.01, "maxGradNorm": 1.0}


def train(parameters, loss_of, settings, dtype):
    """loss_of(chosen indices) by the settings' steps, batchSize and learningRate; `count` items. -> the last loss"""
    settings = {**SHARED, **settings}
    steps = settings["steps"]
    optimizer = optimizer_of(parameters, settings["betas"], settings["weightDecay"])
    for step, chosen in zip(range(steps), batches(settings["count"], settings["batchSize"])):
        learning_rate = cosine_with_warmup(step, steps, settings["learningRate"], settings["warmupRatio"])
        loss = train_step(optimizer, lambda: loss_of(chosen), learning_rate, settings["maxGradNorm"], dtype)
    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"the loss is {loss.item()} after {steps} steps")
    return loss.item()


def batches(count, size):
    """Endless: every epoch visits each item once, in an order of its own."""
    order = torch.empty(0, dtype=torch.int64)
    while True:
        while len(order) < size:
            order = torch.cat([order, torch.randperm(count)])
        yield order[:size]
        order = order[size:]
