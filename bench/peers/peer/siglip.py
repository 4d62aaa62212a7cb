"""The vision and the text tower of SigLIP at the micro scale, and the sigmoid contrastive loss."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from .layers import attend, fuse_on_load

EPSILON = 1e-6


class SelfAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        fuse_on_load(self, "qkv", ("q_proj", "k_proj", "v_proj"))

    def forward(self, x, mask=None):
        batch, tokens, dim = x.shape
        query, key, value = self.qkv(x).view(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        return self.out_proj(attend(query, key, value, mask))


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Layer(nn.Module):
    def __init__(self, dim, hidden, heads):
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(dim, EPSILON), nn.LayerNorm(dim, EPSILON)
        self.self_attn = SelfAttention(dim, heads)
        self.mlp = Mlp(dim, hidden)

    def forward(self, x, mask=None):
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    def __init__(self, dim, hidden, layers, heads):
        super().__init__()
        self.layers = nn.ModuleList(Layer(dim, hidden, heads) for _ in range(layers))

    def forward(self, x, mask=None):
        for layer in self.layers:
            x = layer(x, mask)
        return x


def positions_embedding(count, dim):
    embedding = nn.Embedding(count, dim)
    nn.init.normal_(embedding.weight, std=0.02)
    return embedding


class VisionEmbeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        dim, patch = config["hiddenSize"], config["patchSize"]
        self.patch_embedding = nn.Conv2d(3, dim, patch, patch)
        self.position_embedding = positions_embedding((config["imageSize"] // patch) ** 2, dim)

    def forward(self, patches, positions=None):
        """The convolution is a linear map of patches: (batch, k, 3 * patch * patch) -> (batch, k, dim)"""
        weight, bias = self.patch_embedding.weight.flatten(1), self.patch_embedding.bias
        places = self.position_embedding.weight if positions is None else self.position_embedding(positions)
        return F.linear(patches, weight, bias) + places


class MeanHead(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.projection = nn.Linear(dim, dim)

    def forward(self, x):
        return self.projection(x.mean(1))


class VisionTower(nn.Module):
    def __init__(self, config):
        super().__init__()
        dim = config["hiddenSize"]
        self.embeddings = VisionEmbeddings(config)
        self.encoder = Encoder(dim, config["intermediateSize"], config["numHiddenLayers"], config["numAttentionHeads"])
        self.post_layernorm = nn.LayerNorm(dim, EPSILON)
        self.head = MeanHead(dim)

    def forward(self, patches, positions=None):
        """(states after the final norm, one vector a picture)"""
        states = self.post_layernorm(self.encoder(self.embeddings(patches, positions)))
        return states, self.head(states)

    def hidden_states(self, patches, last):
        """The input of the layers and the output of each, up to layer `last`."""
        states = [self.embeddings(patches)]
        for layer in self.encoder.layers[:last]:
            states.append(layer(states[-1]))
        return states


class TextEmbeddings(nn.Module):
    def __init__(self, vocabulary, longest, dim):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, dim)
        self.position_embedding = positions_embedding(longest, dim)

    def forward(self, ids):
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class TextTower(nn.Module):
    """One layer; a text's vector is the mean of its tokens'."""

    def __init__(self, vocabulary, dim, longest=64):
        super().__init__()
        self.embeddings = TextEmbeddings(vocabulary, longest, dim)
        self.encoder = Encoder(dim, 2 * dim, 1, 4)
        self.final_layer_norm = nn.LayerNorm(dim, EPSILON)
        self.head = nn.Linear(dim, dim)

    def forward(self, ids, real):
        """ids (texts, tokens), real: bool, true where there is a token"""
        states = self.final_layer_norm(self.encoder(self.embeddings(ids), real[:, None, None]))
        weights = real[..., None].to(states.dtype)
        return self.head((states * weights).sum(1) / weights.sum(1))


class ContrastiveScale(nn.Module):
    def __init__(self):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor([math.log(10.0)]))
        self.logit_bias = nn.Parameter(torch.tensor([-10.0]))

    @torch.autocast("cpu", enabled=False)
    def forward(self, texts, pictures):
        """-> logits (texts, pictures), in float32"""
        cosines = F.normalize(texts.float(), dim=-1) @ F.normalize(pictures.float(), dim=-1).T
        return cosines * self.logit_scale.exp() + self.logit_bias


def sigmoid_contrastive_loss(logits, positives):
    """positives (texts, pictures), bool: which texts are true of which pictures"""
    return -F.logsigmoid(logits * (positives.float() * 2 - 1)).sum() / len(logits)


def patches_of(pictures, patch):
    """uint8 (n, side, side, 3) -> float (n, patches, 3 * patch * patch), in -1 to 1, ordered as a convolution's weight"""
    count, side = len(pictures), pictures.shape[1] // patch
    cut = pictures.view(count, side, patch, side, patch, 3).permute(0, 1, 3, 5, 2, 4)
    return cut.reshape(count, side * side, 3 * patch * patch).float().div_(127.5).sub_(1)
