"""The micro world's text: its tokenizer, and records as samples."""

import os
import re

from .files import read_json
from .packing import IGNORE, IMAGE

PIECE = re.compile(r" ?[A-Za-z0-9-]+:?| ?[^\sA-Za-z0-9-]|\s")
END = "</s>"


class Tokenizer:
    """A word with the space before it is a token, and so is any other byte: what `tokenizer.json` says."""

    def __init__(self, path):
        self.vocabulary = read_json(path)["model"]["vocab"]
        self.start, self.end = self.vocabulary["<s>"], self.vocabulary[END]
        self.known = {}

    def __len__(self):
        return max(self.vocabulary.values()) + 1

    def pieces(self, text):
        for piece in PIECE.findall(text.replace("\n", "\n ")):
            if piece in self.vocabulary:
                yield self.vocabulary[piece]
            else:
                yield from (self.vocabulary[f"<0x{byte:02X}>"] for byte in piece.encode())

    def encode(self, text):
        """A text of its own: with a space before it."""
        ids = self.known.get(text)
        if ids is None:
            ids = self.known[text] = list(self.pieces(" " + text))
        return ids

    def answer(self, text):
        """What is learned to be said after a question."""
        return [*self.encode(text), self.end]


def sample(start, read, said):
    """(ids, labels): of what is only read and what is learned to be said"""
    before = start + read
    return before + said, [IGNORE] * len(before) + said


def caption_sample(tokenizer, caption, prefix=(IMAGE,)):
    """The picture (or, given as a prefix, a text), then its caption."""
    return sample([tokenizer.start], list(prefix), tokenizer.encode(caption + "\n"))


def question_ids(tokenizer, question):
    return tokenizer.encode(f"USER: {question} ASSISTANT:")


def turns(record):
    """Question and answer of a record with one of each."""
    human, model = record["conversations"]
    return human["value"].replace("<image>", "").strip(), model["value"]


def picture_index(record):
    """Pictures are numbered within their split: images/train/000012.png"""
    return int(os.path.splitext(os.path.basename(record["image"]))[0])


def by_picture(records):
    """Records of each picture, in the pictures' order."""
    groups = {}
    for record in records:
        groups.setdefault(picture_index(record), []).append(record)
    return groups
