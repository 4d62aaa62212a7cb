"""What the parts of the demo share: settings, the data that asvr made, and what earlier parts left in the folder."""

import os

import torch

from .files import read_json, read_safetensors
from .quantizer import AppearanceBranch, SemanticBranch
from .siglip import VisionTower
from .text import Tokenizer


class Study:
    def __init__(self, options):
        self.settings, self.recipes = options["settings"], options["recipes"]
        self.data, self.pictures_file, self.folder = options["data"], options["pictures"], options["folder"]
        self.dtype = options.get("matmul", "float32")
        self.base = self.recipes["llava"]
        encoder = self.base["encoder"]
        self.patch, self.positions = encoder["patchSize"], (encoder["imageSize"] // encoder["patchSize"]) ** 2
        self.tokenizer = Tokenizer(os.path.join(self.data, "tokenizer.json"))

    def records(self, name):
        return read_json(os.path.join(self.data, f"{name}.json"))

    def pictures(self, split):
        """uint8 (n, side, side, 3)"""
        return read_safetensors(self.pictures_file)[0][split]

    def save(self, name, value):
        torch.save(value, os.path.join(self.folder, f"{name}.pt"))

    def load(self, name):
        return torch.load(os.path.join(self.folder, f"{name}.pt"), weights_only=False, mmap=True)

    def vision_tower(self):
        return VisionTower(self.base["encoder"])

    def branches(self):
        tokenizers, encoder = self.base["tokenizers"], self.base["encoder"]
        return {
            "semantic": SemanticBranch(tokenizers["semantic"]),
            "appearance": AppearanceBranch(
                tokenizers["appearance"], encoder["hiddenSize"], self.positions, 3 * self.patch**2
            ),
        }
