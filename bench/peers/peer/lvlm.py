"""The vision-language model: projected features in front of the text, and codes to reconstruct at their positions."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .layers import Projector
from .llama import LlamaForCausalLM
from .visual_head import VisualHead

IMAGE_START = 1  # every row begins with the start token, then the picture


class CodeVectors(nn.Module):
    """The frozen tokenizer's code vectors, all depths in one table."""

    def __init__(self, codebooks):
        """codebooks (D, codes, dim)"""
        super().__init__()
        self.depth, self.size, self.dim = codebooks.shape
        self.register_buffer("table", codebooks.flatten(0, 1).clone(), persistent=False)
        self.register_buffer("offsets", torch.arange(self.depth) * self.size, persistent=False)

    def cumulative(self, codes):
        """(rows, D) -> (rows, D, dim): sums of the vectors up to each depth"""
        return F.embedding(codes + self.offsets, self.table).cumsum(1)


class VisionLanguageModel(nn.Module):
    """Checkpoint names: `language.`, `projector.`, `supervision.`"""

    def __init__(self, recipe, vocabulary, visual_dim, codebooks=None):
        """codebooks (D, codes, dim): of the codes to reconstruct; without them text alone is learned"""
        super().__init__()
        self.language = LlamaForCausalLM(recipe["language"], vocabulary)
        self.projector = Projector(visual_dim, recipe["language"]["hiddenSize"])
        self.weight = recipe["supervision"]["weight"]
        self.supervision = None
        if codebooks is not None:
            depth, size, dim = codebooks.shape
            config = dict(recipe["visualHead"], depth=depth, codebookSize=size, codeDim=dim)
            self.supervision = VisualHead(dict(config, hiddenSize=recipe["language"]["hiddenSize"]))
            self.vectors = CodeVectors(codebooks)

    def states(self, batch, cache=None):
        """(rows, length, dim)"""
        x = self.language.embed(batch.ids)
        if batch.features is not None:
            after = IMAGE_START + batch.features.shape[1]
            x = torch.cat([x[:, :IMAGE_START], self.projector(batch.features).to(x.dtype), x[:, after:]], 1)
        return self.language.model(x, batch.positions, batch.mask, cache)

    def losses(self, batch):
        """(text loss, vision loss or None), each a mean over what is predicted"""
        states = self.states(batch)
        predicting = states.flatten(0, 1).index_select(0, batch.targets)
        text = F.cross_entropy(self.language.logits(predicting).float(), batch.target_ids)
        if self.supervision is None or batch.codes is None:
            return text, None
        codes = batch.codes.flatten(0, 1)
        at_images = states[:, IMAGE_START : IMAGE_START + batch.codes.shape[1]].flatten(0, 1)
        return text, self.supervision.nll(at_images, self.vectors.cumulative(codes), codes) / len(codes)

    def loss(self, batch):
        text, vision = self.losses(batch)
        return text if vision is None else text + self.weight * vision
