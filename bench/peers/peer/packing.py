"""Samples with equal prefixes packed into one row: the prefix once, and behind it a segment for the rest of each.

A segment sees the prefix and itself, and its positions go on from the prefix: to the model every sample is as if it
were alone, while a picture with eleven questions passes it once.
"""

from dataclasses import dataclass, field

import torch

IMAGE, IGNORE = -200, -100


@dataclass
class Row:
    """A prefix and its segments as lists. `segments` is 0 in the prefix and k in the k-th segment."""

    ids: list = field(default_factory=list)
    positions: list = field(default_factory=list)
    segments: list = field(default_factory=list)
    target_columns: list = field(default_factory=list)
    target_ids: list = field(default_factory=list)
    last_columns: list = field(default_factory=list)


def pack_row(samples, image_tokens, prefix_length=None):
    """
    samples: (ids, labels) with IMAGE for the whole picture, whose first `prefix_length` entries are equal; without a
    length the prefix ends with the picture
    """
    row = Row()

    def write(ids, segment, position):
        """The last column of every entry."""
        columns = []
        for id in ids:
            count = image_tokens if id == IMAGE else 1
            row.ids += [max(id, 0)] * count
            row.positions += range(position, position + count)
            row.segments += [segment] * count
            position += count
            columns.append(len(row.ids) - 1)
        return columns

    first, _ = samples[0]
    shared = first.index(IMAGE) + 1 if prefix_length is None else prefix_length
    prefix = write(first[:shared], 0, 0)
    after = len(row.ids)
    for segment, (ids, labels) in enumerate(samples, 1):
        columns = prefix + write(ids[shared:], segment, after)
        for entry, label in enumerate(labels):
            if label != IGNORE:
                row.target_columns.append(columns[entry - 1])
                row.target_ids.append(label)
        row.last_columns.append(columns[-1])
    return row


def padded(lists, fill):
    """(rows, longest), int64"""
    longest = max(map(len, lists))
    return torch.tensor([values + [fill] * (longest - len(values)) for values in lists])


@dataclass
class Batch:
    """What the model reads of some rows, and what it is to predict."""

    ids: torch.Tensor  # (rows, length)
    positions: torch.Tensor
    segments: torch.Tensor  # -1 at padding
    mask: torch.Tensor | None  # bool (rows, 1, length, length); none: causal
    targets: torch.Tensor  # flat places of the states that predict `target_ids`
    target_ids: torch.Tensor
    features: torch.Tensor | None = None  # (rows, image tokens, dim)
    codes: torch.Tensor | None = None  # (rows, image tokens, D)


class PackedRows:
    """All rows of a data set, packed once. A batch is a choice of them, cut to the longest."""

    def __init__(self, rows):
        self.lengths = torch.tensor([len(row.ids) for row in rows])
        self.target_counts = torch.tensor([len(row.target_ids) for row in rows])
        self.ids = padded([row.ids for row in rows], 0)
        self.positions = padded([row.positions for row in rows], 0)
        self.segments = padded([row.segments for row in rows], -1)
        self.target_columns = padded([row.target_columns for row in rows], -1)
        self.target_ids = padded([row.target_ids for row in rows], IGNORE)
        self.is_causal = all(len(row.last_columns) == 1 for row in rows)  # nothing beside a prefix: padding comes last
        self.last_columns = padded([row.last_columns for row in rows], -1)

    def __len__(self):
        return len(self.lengths)

    def batch(self, chosen, features=None, codes=None):
        """chosen: int64 rows; features and codes: of all rows, in their order"""
        length = int(self.lengths[chosen].max())
        segments = self.segments[chosen, :length]
        columns = self.target_columns[chosen, : int(self.target_counts[chosen].max())]
        real = columns >= 0
        start = torch.arange(len(chosen))[:, None] * length
        return Batch(
            ids=self.ids[chosen, :length],
            positions=self.positions[chosen, :length],
            segments=segments,
            mask=None if self.is_causal else visible(segments),
            targets=(columns + start)[real],
            target_ids=self.target_ids[chosen, : columns.shape[1]][real],
            features=None if features is None else features[chosen],
            codes=None if codes is None else codes[chosen].long(),
        )


def visible(segments):
    """Who sees whom: what is not later, of the prefix or of the own segment. (rows, length) -> (rows, 1, length, length)"""
    length = segments.shape[1]
    not_later = torch.ones(length, length, dtype=torch.bool).tril()
    seen, seer = segments[:, None, :], segments[:, :, None]
    return (((seen == 0) | (seen == seer)) & not_later)[:, None]
