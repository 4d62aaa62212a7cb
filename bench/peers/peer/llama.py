"""A language model of the Llama family with as many key and value heads as query heads."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .layers import attend, fuse_on_load


class RotaryTable(nn.Module):
    """Cosines and signed sines of every position, made once."""

    def __init__(self, head_dim, theta, positions=512):
        super().__init__()
        half = head_dim // 2
        frequencies = torch.exp(torch.arange(half, dtype=torch.float64) * (-2 / head_dim) * torch.tensor(theta).log())
        angles = torch.arange(positions)[:, None] * frequencies.float()
        cos, sin = angles.cos(), angles.sin()
        self.register_buffer("cos", torch.cat([cos, cos], -1), persistent=False)
        self.register_buffer("sin", torch.cat([-sin, sin], -1), persistent=False)

    def forward(self, positions):
        """(batch, tokens) -> two of (batch, tokens, 1, head_dim)"""
        return F.embedding(positions, self.cos)[:, :, None], F.embedding(positions, self.sin)[:, :, None]


def rotate(x, angles):
    """x (batch, tokens, heads, head_dim); halves are swapped by one roll."""
    cos, sin = angles
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        fuse_on_load(self, "qkv", ("q_proj", "k_proj", "v_proj"))

    def forward(self, x, angles, mask, cache=None):
        batch, tokens, dim = x.shape
        heads = self.heads
        qkv = self.qkv(x).view(batch, tokens, 3 * heads, dim // heads)
        turned, value = qkv.split((2 * heads, heads), 2)
        query, key = rotate(turned, angles).transpose(1, 2).split(heads, 1)
        value = value.transpose(1, 2)
        if cache is not None:
            key, value = cache.extend(self, key, value)
        return self.o_proj(attend(query, key, value, mask, causal=mask is None))


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.gate_up = nn.Linear(dim, 2 * hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)
        fuse_on_load(self, "gate_up", ("gate_proj", "up_proj"))

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down_proj(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, dim, hidden, heads, epsilon):
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.mlp = Mlp(dim, hidden)
        self.input_layernorm = nn.RMSNorm(dim, epsilon)
        self.post_attention_layernorm = nn.RMSNorm(dim, epsilon)

    def forward(self, x, angles, mask, cache=None):
        x = x + self.self_attn(self.input_layernorm(x), angles, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class LlamaModel(nn.Module):
    def __init__(self, config, vocabulary):
        super().__init__()
        dim, heads = config["hiddenSize"], config["numAttentionHeads"]
        if config["numKeyValueHeads"] != heads or not config["tieWordEmbeddings"]:
            raise ValueError("this model has one key head a query head, and tied embeddings")
        self.embed_tokens = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        self.layers = nn.ModuleList(
            Layer(dim, config["intermediateSize"], heads, config["rmsNormEps"])
            for _ in range(config["numHiddenLayers"])
        )
        self.norm = nn.RMSNorm(dim, config["rmsNormEps"])
        self.rotary = RotaryTable(dim // heads, config["ropeTheta"])

    def forward(self, x, positions, mask, cache=None):
        """x (batch, tokens, dim) -> hidden states after the final norm"""
        angles = self.rotary(positions)
        for layer in self.layers:
            x = layer(x, angles, mask, cache)
        return self.norm(x)


class LlamaForCausalLM(nn.Module):
    def __init__(self, config, vocabulary):
        super().__init__()
        self.model = LlamaModel(config, vocabulary)

    def embed(self, ids):
        return self.model.embed_tokens(ids)

    def logits(self, states):
        return F.linear(states, self.model.embed_tokens.weight)


class KeyValueCache:
    """Keys and values of the tokens so far, by layer."""

    def __init__(self):
        self.layers = {}

    def extend(self, layer, key, value):
        if layer in self.layers:
            before = self.layers[layer]
            key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
        self.layers[layer] = key, value
        return key, value
