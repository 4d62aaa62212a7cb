"""Both visual tokenizers, on the frozen encoder's features; then features and codes of every picture, once."""

import torch

from ..quantizer import normalised
from ..siglip import patches_of
from ..training import batches, matmul_in, train

PICTURES = 4000
SPLITS = ("train", "test-seen", "test-novel")


def frozen_encoder(study):
    vision = study.vision_tower()
    vision.load_state_dict(study.load("encoder"))
    return vision.requires_grad_(False)


def train_tokenizers(study):
    torch.manual_seed(study.settings["sharedSeed"])
    patches = patches_of(study.pictures("train")[:PICTURES], study.patch)
    vision, branches = frozen_encoder(study), study.branches()
    semantic, appearance = branches["semantic"], branches["appearance"]

    def features_of(branch, chosen):
        with torch.no_grad(), matmul_in(study.dtype):
            return vision.hidden_states(patches[chosen], branch.layer)[-1]

    settings = study.settings["tokenizers"]
    for _, chosen in zip(
        range(settings["semantic"]["steps"]), batches(len(patches), settings["semantic"]["batchSize"])
    ):
        features = normalised(features_of(semantic, chosen)).flatten(0, 1)
        semantic.quantizer.walk(features, update=True)  # it learns from running averages alone

    def loss_of(chosen):
        return appearance.loss(features_of(appearance, chosen), patches[chosen])

    last = train(appearance.parameters(), loss_of, {**settings["appearance"], "count": len(patches)}, study.dtype)
    study.save("tokenizers", {name: branch.state_dict() for name, branch in branches.items()})
    return f"last loss {last:.3f}"


@torch.no_grad()
def make_codes(study):
    vision, branches = frozen_encoder(study), study.branches()
    saved = study.load("tokenizers")
    for name, branch in branches.items():
        branch.load_state_dict(saved[name])
    study.save("codebooks", {name: branch.quantizer.codebook_tensor() for name, branch in branches.items()})
    for split in SPLITS:
        study.save(f"codes-{split}", codes_of(study, split, vision, branches))


def codes_of(study, split, vision, branches):
    """Features and both kinds of codes of the pictures of a split, (pictures, positions, …)"""
    last = study.base["encoder"]["numHiddenLayers"] + 1 + study.base["encoder"]["selectLayer"]
    made = {"features": [], "semantic": [], "appearance": []}
    for pictures in study.pictures(split).split(250):
        with matmul_in(study.dtype):
            states = vision.hidden_states(patches_of(pictures, study.patch), last)
            made["features"].append(normalised(states[last]))
            for name, branch in branches.items():
                made[name].append(branch.codes(states[branch.layer]).short())
    return {name: torch.cat(parts) for name, parts in made.items()}
