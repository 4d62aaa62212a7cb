"""Greedy answers to packed questions. Those of one picture share its keys and values."""

import torch

from .llama import KeyValueCache


def answer(model, batch, last_columns, end, max_new_tokens):
    """
    last_columns (rows, questions): where each prompt ends, -1 where a row has fewer
    -> for every row, the tokens of each answer without the end
    """
    cache, language = KeyValueCache(), model.language
    states = model.states(batch, cache)
    asked, at = last_columns >= 0, last_columns.clamp_min(0)
    questions = last_columns.shape[1]
    last = states.gather(1, at[..., None].expand(-1, -1, states.shape[2]))
    tokens = language.logits(last).argmax(-1)
    positions = batch.positions.gather(1, at) + 1
    segments = batch.segments[:, None]
    seen = (segments == 0) | (segments == torch.arange(1, questions + 1)[:, None])  # (rows, questions, length)
    itself = torch.eye(questions, dtype=torch.bool).expand(len(seen), -1, -1)
    said, done = [tokens], ~asked | (tokens == end)
    while len(said) < max_new_tokens and not done.all():
        seen = torch.cat([seen, itself], 2)
        states = language.model(language.embed(tokens), positions, seen[:, None], cache)
        tokens = language.logits(states).argmax(-1)
        said.append(tokens)
        done |= tokens == end
        positions = positions + 1
    return [[until(end, tokens) for tokens in row] for row in torch.stack(said, -1).tolist()]


def until(end, tokens):
    return tokens[: tokens.index(end)] if end in tokens else tokens
