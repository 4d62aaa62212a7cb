"""Residual quantization with codebooks that follow their data by running averages."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .siglip import Encoder, positions_embedding

DECAY, RESTART_BELOW, EPSILON = 0.95, 0.03, 1e-5
KMEANS_ROUNDS = 8


def nearest(vectors, codes):
    """The index of the nearest code of each vector."""
    return torch.addmm(codes.square().sum(1), vectors, codes.T, alpha=-2).argmin(1)


def draw_rows(vectors, count):
    if len(vectors) < count:
        vectors = vectors.repeat(-(-count // len(vectors)), 1)
        vectors = vectors + torch.rand_like(vectors) * (0.01 * vectors.shape[1] ** -0.5)
    return vectors[torch.randperm(len(vectors))[:count]]


class Codebook(nn.Module):
    """`weight` has a row more: padding, which is never chosen."""

    def __init__(self, size, dim):
        super().__init__()
        self.size = size
        self.register_buffer("weight", torch.zeros(size + 1, dim))
        self.register_buffer("cluster_size_ema", torch.zeros(size))
        self.register_buffer("embed_ema", torch.zeros(size, dim))

    @property
    def codes(self):
        return self.weight[: self.size]

    def initialise(self, vectors):
        """A random choice of the vectors, improved by k-means."""
        centres = draw_rows(vectors, self.size)
        for _ in range(KMEANS_ROUNDS):
            chosen = nearest(vectors, centres)
            counts = chosen.bincount(minlength=self.size)[:, None]
            sums = torch.zeros_like(centres).index_add_(0, chosen, vectors)
            centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
        self.codes.copy_(centres)
        self.cluster_size_ema.fill_(1)
        self.embed_ema.copy_(centres)

    def update(self, vectors, chosen):
        """Moves the codes towards the vectors that chose them; unused ones restart."""
        counts = chosen.bincount(minlength=self.size).float()
        sums = torch.zeros_like(self.embed_ema).index_add_(0, chosen, vectors)
        self.cluster_size_ema.mul_(DECAY).add_(counts, alpha=1 - DECAY)
        self.embed_ema.mul_(DECAY).add_(sums, alpha=1 - DECAY)
        unused = (self.cluster_size_ema < RESTART_BELOW).nonzero()[:, 0]
        if len(unused) > 0:
            self.embed_ema[unused] = draw_rows(vectors, len(unused))
            self.cluster_size_ema[unused] = 1
        total = self.cluster_size_ema.sum()
        smoothed = (self.cluster_size_ema + EPSILON) * total / (total + self.size * EPSILON)
        self.codes.copy_(self.embed_ema / smoothed[:, None])


class ResidualQuantizer(nn.Module):
    def __init__(self, depth, size, dim):
        super().__init__()
        self.codebooks = nn.ModuleList(Codebook(size, dim) for _ in range(depth))
        self.started = False

    @torch.no_grad()
    @torch.autocast("cpu", enabled=False)
    def walk(self, x, update=False):
        """(n, dim) -> codes (n, D) and the vectors of each depth, a list of (n, dim); searched in float32"""
        residual, codes, vectors = x.detach().float(), [], []
        if update and not self.started:
            self.initialise(residual)
        for codebook in self.codebooks:
            chosen = nearest(residual, codebook.codes)
            found = F.embedding(chosen, codebook.weight)
            if update:
                codebook.update(residual, chosen)
            residual = residual - found
            codes.append(chosen)
            vectors.append(found)
        return torch.stack(codes, 1), vectors

    def initialise(self, x):
        for codebook in self.codebooks:
            codebook.initialise(x)
            x = x - F.embedding(nearest(x, codebook.codes), codebook.weight)
        self.started = True

    def quantize(self, x):
        """Moves the codebooks. -> (quantized, with the gradient straight through; commitment loss)"""
        _, vectors = self.walk(x, update=True)
        cumulative, commitment = torch.zeros_like(x), 0
        for found in vectors:
            cumulative = cumulative + found
            commitment = commitment + F.mse_loss(x, cumulative)
        return x + (cumulative - x).detach(), commitment / len(vectors)

    def codebook_tensor(self):
        """(D, codes, dim)"""
        return torch.stack([codebook.codes for codebook in self.codebooks])


def normalised(features):
    return F.layer_norm(features.float(), features.shape[-1:])


class SemanticBranch(nn.Module):
    """Late features, as they are. Running averages do all the learning."""

    def __init__(self, config):
        super().__init__()
        self.layer = config["layer"]
        self.quantizer = ResidualQuantizer(config["depth"], config["codebookSize"], config["codeDim"])

    def codes(self, features):
        """(batch, positions, dim) -> (batch, positions, D)"""
        return self.quantizer.walk(normalised(features).flatten(0, 1))[0].view(*features.shape[:2], -1)


class PixelDecoder(nn.Module):
    def __init__(self, inputs, positions, patch_dim, dim=96):
        super().__init__()
        self.up = nn.Linear(inputs, dim)
        self.position_embedding = positions_embedding(positions, dim)
        self.encoder = Encoder(dim, 2 * dim, 1, 4)
        self.out = nn.Linear(dim, patch_dim)

    def forward(self, quantized):
        return self.out(self.encoder(self.up(quantized) + self.position_embedding.weight))


class AppearanceBranch(nn.Module):
    """Early features, reduced; learned by reconstructing the picture's patches."""

    def __init__(self, config, features, positions, patch_dim):
        super().__init__()
        self.layer = config["layer"]
        self.down = nn.Linear(features, config["codeDim"])
        self.quantizer = ResidualQuantizer(config["depth"], config["codebookSize"], config["codeDim"])
        self.decoder = PixelDecoder(config["codeDim"], positions, patch_dim)

    def codes(self, features):
        reduced = self.down(normalised(features))
        return self.quantizer.walk(reduced.flatten(0, 1))[0].view(*features.shape[:2], -1)

    def loss(self, features, patches):
        reduced = self.down(normalised(features)).float()
        quantized, commitment = self.quantizer.quantize(reduced.flatten(0, 1))
        decoded = self.decoder(quantized.view_as(reduced))
        return F.mse_loss(decoded.float(), patches) + 0.25 * commitment
