"""Captions and questions of the pictures as packed rows: made once, read by every row of the table."""

from ..packing import IGNORE, IMAGE, PackedRows, pack_row
from ..text import by_picture, caption_sample, question_ids, sample, turns


def make_samples(study):
    tokenizer, positions = study.tokenizer, study.positions
    captions = [
        pack_row([caption_sample(tokenizer, turns(record)[1])], positions) for record in study.records("captions")
    ]
    study.save("captions", PackedRows(captions))
    study.save("tuning", PackedRows([pack_row(questions, positions) for questions in tuning_samples(study)]))
    for split in ("test-seen", "test-novel"):
        study.save(split, test_questions(study, split))


def tuning_samples(study):
    """The questions of every picture with their answers."""
    tokenizer = study.tokenizer

    def sample_of(record):
        question, answer = turns(record)
        read = [IMAGE, *question_ids(tokenizer, question)]
        return sample([tokenizer.start], read, tokenizer.answer(answer))

    return [[sample_of(record) for record in records] for records in by_picture(study.records("tuning")).values()]


def test_questions(study, split):
    """Prompts of every picture that has questions, their types and answers in the same order."""
    tokenizer = study.tokenizer
    groups = by_picture(study.records(split))

    def prompt_of(record):
        ids = [tokenizer.start, IMAGE, *question_ids(tokenizer, turns(record)[0])]
        return ids, [IGNORE] * len(ids)

    return {
        "pictures": list(groups),
        "rows": PackedRows([pack_row([prompt_of(r) for r in records], study.positions) for records in groups.values()]),
        "types": [[record["type"] for record in records] for records in groups.values()],
        "answers": [[tokenizer.encode(turns(record)[1]) for record in records] for records in groups.values()],
        "ids": [[record["id"] for record in records] for records in groups.values()],
    }
