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
