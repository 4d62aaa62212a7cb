"""What several networks have in common."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def fuse_on_load(module, name, parts):
    """Lets `module.name`, one linear map, load what a checkpoint keeps as several: `q_proj`, `k_proj`, `v_proj`."""

    def hook(_, state, prefix, *__):
        for kind in ("weight", "bias"):
            keys = [f"{prefix}{part}.{kind}" for part in parts]
            if all(key in state for key in keys):
                state[f"{prefix}{name}.{kind}"] = torch.cat([state.pop(key) for key in keys])

    module.register_load_state_dict_pre_hook(hook)


class Projector(nn.Sequential):
    """Linear, GELU, Linear."""

    def __init__(self, inputs, outputs):
        super().__init__(nn.Linear(inputs, outputs), nn.GELU(), nn.Linear(outputs, outputs))


def merge_heads(x):
    """(batch, heads, tokens, head_dim) -> (batch, tokens, heads * head_dim)"""
    batch, heads, tokens, head_dim = x.shape
    return x.transpose(1, 2).reshape(batch, tokens, heads * head_dim)


def attend(query, key, value, mask=None, causal=False):
    return merge_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal))
