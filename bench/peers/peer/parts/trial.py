"""Which dtype this machine trains faster in, tried on a few steps of the language model."""

import time

import torch

from ..lvlm import VisionLanguageModel
from ..packing import IGNORE, PackedRows, pack_row
from ..training import optimizer_of, train_step

STEPS, WARMUP = 6, 2


def faster_matmul(study):
    model = VisionLanguageModel(study.base, len(study.tokenizer), study.base["encoder"]["hiddenSize"])
    language = model.language
    optimizer = optimizer_of(language.parameters(), (0.9, 0.98), 0.0)
    text = list(range(20, 70))
    questions = [(text, [IGNORE] * 40 + text[40:])] * 6
    batch = PackedRows([pack_row(questions, 0, 40)] * 8).batch(torch.arange(8))
    times = {"float32": [], "bfloat16": []}
    for step in range(WARMUP + STEPS):
        for dtype, taken in times.items():  # by turns: what else the machine does hits both
            started = time.perf_counter()
            train_step(optimizer, lambda: model.loss(batch), 1e-4, 1.0, dtype)
            if step >= WARMUP:
                taken.append(time.perf_counter() - started)
    return min(times, key=lambda dtype: sorted(times[dtype])[STEPS // 2])
