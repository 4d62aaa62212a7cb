"""Reads what asvr prepared for `micro-step` and `startup`: weights, samples, features, codes, and the order of them."""

import os

import torch

from .files import read_json, read_safetensors
from .lvlm import VisionLanguageModel
from .packing import PackedRows, pack_row
from .training import cosine_with_warmup, optimizer_of


class Prepared:
    def __init__(self, folder, row):
        def path(name):
            return os.path.join(folder, name)

        described = read_json(path("micro.json"))
        self.recipe = described["recipes"][row]
        self.order = described["order"]
        self.stage = self.recipe["stages"]["tuning"]
        visual, _ = read_safetensors(path("visual.safetensors"))
        self.features, self.codes = visual["features"], visual["semantic"]

        weights, _ = read_safetensors(path("model.safetensors"))
        supervised = self.recipe["supervision"]["kind"] != "none"
        codebooks = None
        if supervised:
            state, _ = read_safetensors(path("semantic.safetensors"))
            books = [state[f"quantizer.codebooks.{depth}.weight"] for depth in range(self.codes.shape[2])]
            codebooks = torch.stack([book[:-1] for book in books])  # the last row is padding
        self.model = VisionLanguageModel(self.recipe, described["vocabSize"], self.features.shape[2], codebooks)
        if not supervised:
            weights = {name: weight for name, weight in weights.items() if not name.startswith("supervision.")}
        self.model.load_state_dict(weights)
        samples = [[(sample["inputIds"], sample["labels"]) for sample in picture] for picture in described["pictures"]]
        self.rows = PackedRows([pack_row(picture, self.features.shape[1]) for picture in samples])

    def batch(self, step):
        return self.rows.batch(torch.tensor(self.order[step]), self.features, self.codes)

    def optimizer(self):
        return optimizer_of(self.model.parameters(), self.stage["betas"], self.stage["weightDecay"])

    def learning_rate(self, step, steps):
        return cosine_with_warmup(step, steps, self.stage["learningRate"], self.stage["warmupRatio"])
