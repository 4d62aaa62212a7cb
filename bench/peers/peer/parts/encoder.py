"""The vision encoder: contrastive on single cells, then contrastive and captioning on whole pictures."""

import torch

from ..lvlm import VisionLanguageModel
from ..packing import PackedRows, pack_row, padded
from ..siglip import ContrastiveScale, TextTower, patches_of, sigmoid_contrastive_loss
from ..text import caption_sample, picture_index
from ..training import train


class Texts:
    """Texts as one table, of which a batch takes rows cut to the longest."""

    def __init__(self, encoded):
        self.lengths = torch.tensor([len(ids) for ids in encoded])
        self.ids = padded(encoded, 0)

    def batch(self, chosen):
        lengths = self.lengths[chosen]
        longest = int(lengths.max())
        return self.ids[chosen, :longest], torch.arange(longest) < lengths[:, None]


class Views:
    """Cells of pictures, with every caption that is true of each."""

    def __init__(self, study, records):
        numbers = {}
        self.pictures = torch.tensor([picture_index(record) for record in records])
        self.places = torch.tensor([cells_patches(record["region"], study) for record in records])
        captions = [[numbers.setdefault(text, len(numbers)) for text in record["captions"]] for record in records]
        self.caption_counts = torch.tensor([len(texts) for texts in captions])
        self.captions = padded(captions, -1)
        self.texts = Texts([study.tokenizer.encode(text) for text in numbers])


def cells_patches(region, study):
    """Patches that a region covers, row by row."""
    x, y, width, height = (size // study.patch for size in region)
    side = int(study.positions**0.5)
    return [row * side + column for row in range(y, y + height) for column in range(x, x + width)]


def train_encoder(study):
    torch.manual_seed(study.settings["sharedSeed"])
    records = study.records("encoder")
    patches = patches_of(study.pictures("encoder"), study.patch)
    vision = study.vision_tower()
    text = TextTower(len(study.tokenizer), study.base["encoder"]["hiddenSize"])
    cells = on_cells(study, [record for record in records if "region" in record], patches, vision, text)
    scenes = on_scenes(study, [record for record in records if "region" not in record], patches, vision, text)
    study.save("encoder", vision.state_dict())
    return f"last losses {cells:.3f} and {scenes:.3f}"


def on_cells(study, records, patches, vision, text):
    views, scale = Views(study, records), ContrastiveScale()

    def loss_of(chosen):
        place = (torch.rand(len(chosen)) * views.caption_counts[chosen]).long()
        captions = views.captions[chosen].gather(1, place[:, None])[:, 0]
        positives = (captions[:, None, None] == views.captions[chosen]).any(-1)
        places = views.places[chosen]
        _, pooled = vision(patches[views.pictures[chosen, None], places], places)
        return sigmoid_contrastive_loss(scale(text(*views.texts.batch(captions)), pooled), positives)

    parameters = [parameter for part in (vision, text, scale) for parameter in part.parameters()]
    return train(parameters, loss_of, {**study.settings["encoder"]["cells"], "count": len(records)}, study.dtype)


def on_scenes(study, records, patches, vision, text):
    scale, tokenizer = ContrastiveScale(), study.tokenizer
    recipe = {**study.base, "language": {**study.base["language"], "numHiddenLayers": 1}}
    captioner = VisionLanguageModel(recipe, len(tokenizer), study.base["encoder"]["hiddenSize"])
    full, names = (Texts([tokenizer.encode(record["captions"][kind]) for record in records]) for kind in (0, 1))
    rows = [pack_row([caption_sample(tokenizer, record["captions"][0])], study.positions) for record in records]
    rows, pictures = PackedRows(rows), torch.tensor([picture_index(record) for record in records])
    settings = study.settings["encoder"]["scenes"]

    def loss_of(chosen):
        states, pooled = vision(patches[pictures[chosen]])
        pairs = torch.eye(len(chosen), dtype=torch.bool)
        contrastive = sum(
            sigmoid_contrastive_loss(scale(text(*kind.batch(chosen)), pooled), pairs) for kind in (full, names)
        )
        batch = rows.batch(chosen)
        batch.features = states
        return contrastive + settings["captioningWeight"] * captioner.loss(batch)

    parameters = [parameter for part in (vision, text, scale, captioner) for parameter in part.parameters()]
    return train(parameters, loss_of, {**settings, "count": len(records)}, study.dtype)
