"""Whether the peer's networks are asvr's: with asvr's trained weights they must give its codes and its answers.

Reads a finished study, and the samples that asvr made of some records.
"""

import json
import os
import sys

import torch

from peer.files import read_json, read_safetensors
from peer.parts.language_model import text_samples
from peer.parts.row import build_model, evaluate
from peer.parts.samples import test_questions, tuning_samples
from peer.parts.tokenizers import codes_of
from peer.study import Study
from peer.text import caption_sample, turns

SPLIT = "test-seen"


def main(options):
    torch.set_num_threads(options["threads"])
    study, theirs = Study(options), options["study"]

    def weights(*path):
        return read_safetensors(os.path.join(theirs, *path))

    check_samples(study, options["samples"])

    vision, branches = study.vision_tower(), study.branches()
    vision.load_state_dict(weights("encoder", "encoder.safetensors")[0])
    for name, branch in branches.items():
        branch.load_state_dict(weights("tokenizers", f"{name}.safetensors")[0])
    expected, metadata = weights("codes", f"{SPLIT}.safetensors")
    keys = [int(os.path.splitext(os.path.basename(key))[0]) for key in json.loads(metadata["keys"])]
    with torch.no_grad():
        made = {name: values[keys] for name, values in codes_of(study, SPLIT, vision, branches).items()}
    agreement = {name: (made[name] == expected[name]).float().mean().item() for name in branches}

    questions = test_questions(study, SPLIT)
    for row in ("llava", "asvr"):
        run = os.path.join(theirs, f"{row}-s{options['recipes'][row]['seed']}")
        recipe = options["recipes"][row]
        books = branches["semantic"].quantizer.codebook_tensor() if row == "asvr" else None
        model = build_model(study, recipe, books)
        checkpoint = sorted(os.listdir(os.path.join(run, "checkpoints")))[-1]
        state, _ = read_safetensors(os.path.join(run, "checkpoints", checkpoint, "model.safetensors"))
        model.load_state_dict({name.removeprefix("model."): weight for name, weight in state.items()})
        right = evaluate(study, model, SPLIT, questions, made["features"])["right"]
        with open(os.path.join(run, "evaluation", SPLIT, "predictions.jsonl"), encoding="utf-8") as file:
            predictions = [json.loads(line) for line in file]
        agreement[f"{row} answers"] = sum(right[p["id"]] == p["correct"] for p in predictions) / len(predictions)
    return agreement


def check_samples(study, file):
    """Token ids and labels of the first records must be equal to those that asvr made of them."""
    samples = {
        "captions": [caption_sample(study.tokenizer, turns(record)[1]) for record in study.records("captions")],
        "tuning": [sample for picture in tuning_samples(study) for sample in picture],
        "text": [sample for _, sample in text_samples(study, 1)],
    }
    for name, expected in read_json(file).items():
        for theirs, (ids, labels) in zip(expected, samples[name]):
            if theirs["inputIds"] != ids or theirs["labels"] != labels:
                raise ValueError(f"{name}: {theirs['id']} is {theirs['inputIds']} in asvr and {ids} here")


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
