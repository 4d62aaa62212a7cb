"""The visual head: predicts the residual codes of an image position from the hidden state there, depth by depth."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .layers import Projector, attend


class DepthAttention(nn.Module):
    """Causal over depth, with the packed weights of torch.nn.MultiheadAttention."""

    def __init__(self, dim, head_dim):
        super().__init__()
        self.head_dim = head_dim
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x):
        rows, depth, _ = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(rows, depth, 3, -1, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return self.out_proj(attend(query, key, value, causal=True))


class DepthwiseLinear(nn.Module):
    """A linear map of its own for each depth: (D, rows, inputs) -> (D, rows, outputs)"""

    def __init__(self, inputs, outputs, depth):
        super().__init__()
        self.depth = depth
        self.weight = nn.Parameter(torch.empty(outputs, depth * inputs))
        nn.init.uniform_(self.weight, -(inputs**-0.5), inputs**-0.5)

    def forward(self, x):
        return torch.bmm(x, self.weight.view(len(self.weight), self.depth, -1).permute(1, 2, 0))


class DepthLayer(nn.Module):
    """The residual of the feed-forward is the normalised input, as in the authors' code."""

    def __init__(self, dim, head_dim, depth):
        super().__init__()
        self.self_attention = DepthAttention(dim, head_dim)
        self.layernorm1 = nn.RMSNorm(dim, 1e-6)
        self.layernorm2 = nn.RMSNorm(dim, 1e-6)
        self.linear1 = DepthwiseLinear(dim, 2 * dim, depth)
        self.linear2 = DepthwiseLinear(2 * dim, dim, depth)

    def forward(self, x):
        x = self.layernorm2(x + self.self_attention(self.layernorm1(x)))
        return x + self.linear2(F.gelu(self.linear1(x.transpose(0, 1)))).transpose(0, 1)


class DepthTransformer(nn.Module):
    def __init__(self, config):
        super().__init__()
        dim, depth = config["embedDim"], config["depth"]
        self.in_mlp_1 = nn.Linear(config["codeDim"], dim)
        self.head_transformer = nn.ModuleList(
            DepthLayer(dim, config["headDim"], depth) for _ in range(config["layers"])
        )
        self.headnorm = nn.RMSNorm(dim, 1e-6)
        self.heads = nn.ModuleList(nn.Linear(dim, config["codebookSize"]) for _ in range(depth))


class VisualHead(nn.Module):
    """Config: hiddenSize, embedDim, headDim, layers, depth, codebookSize, codeDim."""

    def __init__(self, config):
        super().__init__()
        self.projector = Projector(config["hiddenSize"], config["embedDim"])
        self.rqtransformer_semantic = DepthTransformer(config)

    def features(self, states, cumulative):
        """
        states (rows, hiddenSize), cumulative (rows, D, codeDim): sums of the codes' vectors up to each depth
        -> what the classifiers read, (rows, D, embedDim)
        """
        transformer = self.rqtransformer_semantic
        x = torch.cat([self.projector(states)[:, None], transformer.in_mlp_1(cumulative[:, :-1])], 1)
        x = x.float()  # under autocast: the norms' fused kernel wants the dtype of their weights
        for layer in transformer.head_transformer:
            x = layer(x)
        return transformer.headnorm(x)

    def nll(self, states, cumulative, codes):
        """Summed over positions, averaged over depths; codes (rows, D)"""
        return self.nll_of_features(self.features(states, cumulative), codes)

    def nll_of_features(self, features, codes):
        """The same from (rows, D, embedDim), with all logits, (rows, D, codebookSize), in float32"""
        heads = self.rqtransformer_semantic.heads
        logits = torch.stack([head(features[:, depth]) for depth, head in enumerate(heads)], 1)
        return F.cross_entropy(logits.flatten(0, 1).float(), codes.flatten(), reduction="sum") / codes.shape[1]
