"""One row of the table: both stages of training, then the answers to both test sets."""

import torch

from ..generation import answer
from ..lvlm import VisionLanguageModel
from ..training import matmul_in, train

MAX_NEW_TOKENS = 4


def run_row(study, row):
    """-> exact match by test set: the mean over the types of its questions"""
    recipe = study.recipes[row]
    kind = recipe["supervision"]["kind"]
    visual = study.load("codes-train")
    features, codes = visual["features"], visual.get(kind)
    torch.manual_seed(recipe["seed"])
    model = build_model(study, recipe, study.load("codebooks").get(kind))
    model.language.load_state_dict(study.load("language"))

    for name, stage in recipe["stages"].items():
        rows = study.load({"captions": "captions", "tuning": "tuning"}[stage["data"]])
        supervised = stage["supervised"]
        parts = {"projector": model.projector, "language": model.language, "visualHead": model.supervision}
        learning = [parts[part] for part in stage["trainable"] if parts[part] is not None]
        model.requires_grad_(False)
        for part in learning:
            part.requires_grad_(True)

        def loss_of(chosen):
            return model.loss(rows.batch(chosen, features, codes if supervised else None))

        parameters = [parameter for part in learning for parameter in part.parameters()]
        train(parameters, loss_of, {**stage, "count": len(rows)}, study.dtype)
    return {split: evaluate(study, model, split)["score"] for split in ("test-seen", "test-novel")}


def build_model(study, recipe, codebooks):
    return VisionLanguageModel(recipe, len(study.tokenizer), recipe["encoder"]["hiddenSize"], codebooks)


@torch.no_grad()
def evaluate(study, model, split, questions=None, features=None):
    """Exact match over the questions of a split, and which of them were answered right."""
    questions = questions or study.load(split)
    features = study.load(f"codes-{split}")["features"] if features is None else features
    right, by_type = {}, {}
    for chosen in torch.arange(len(questions["rows"])).split(study.settings["evaluationBatch"]):
        rows = questions["rows"]
        batch = rows.batch(chosen)
        batch.features = features[torch.tensor([questions["pictures"][row] for row in chosen])]
        with matmul_in(study.dtype):
            answers = answer(model, batch, rows.last_columns[chosen], study.tokenizer.end, MAX_NEW_TOKENS)
        for row, said in zip(chosen.tolist(), answers):
            for place, expected in enumerate(questions["answers"][row]):
                right[questions["ids"][row][place]] = said[place] == expected
                by_type.setdefault(questions["types"][row][place], []).append(said[place] == expected)
    score = sum(sum(correct) / len(correct) for correct in by_type.values()) / len(by_type)
    return {"score": score, "right": right}
