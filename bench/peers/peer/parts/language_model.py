"""The language model on text alone: questions about a caption, and some captions told again."""

import torch

from ..llama import LlamaForCausalLM
from ..lvlm import VisionLanguageModel
from ..packing import PackedRows, pack_row
from ..text import caption_sample, question_ids, sample, turns
from ..training import train


def train_language_model(study):
    settings = study.settings["languageModel"]
    rows = PackedRows(text_rows(study, settings["retellingShare"]))
    torch.manual_seed(study.settings["sharedSeed"])
    model = VisionLanguageModel(study.base, len(study.tokenizer), study.base["encoder"]["hiddenSize"])
    language = model.language

    def loss_of(chosen):
        return model.loss(rows.batch(chosen))

    last = train(language.parameters(), loss_of, {**settings, "count": len(rows)}, study.dtype)
    study.save("language", language.state_dict())
    return f"last loss {last:.3f}"


def text_samples(study, retelling_share):
    """(caption, sample): its questions and, for a share of the captions, the caption again."""
    tokenizer, retellings = study.tokenizer, 0
    for record in study.records("text"):
        question, answer = turns(record)
        prefix = tokenizer.encode(record["context"])
        if question == "":
            retellings += 1
            if int(retellings * retelling_share) > int((retellings - 1) * retelling_share):
                yield record["context"], caption_sample(tokenizer, answer, prefix)
        else:
            read = prefix + question_ids(tokenizer, question)
            yield record["context"], sample([tokenizer.start], read, tokenizer.answer(answer))


def text_rows(study, retelling_share):
    """A row a caption, which is the prefix of its samples. Equal captions of two scenes do not make one long row."""
    most = study.settings["world"]["questionsPerImage"] + 1
    groups = {}
    for context, one in text_samples(study, retelling_share):
        groups.setdefault(context, []).append(one)
    return [
        pack_row(samples[start : start + most], 0, prefix_length=1 + len(study.tokenizer.encode(context)))
        for context, samples in groups.items()
        for start in range(0, len(samples), most)
    ]
