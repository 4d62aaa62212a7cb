"""The peer's side of `demo`: every part of the study, two at a time where they do not need each other."""

import json
import multiprocessing
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

import torch

from peer.parts.encoder import train_encoder
from peer.parts.language_model import train_language_model
from peer.parts.row import run_row
from peer.parts.samples import make_samples
from peer.parts.tokenizers import make_codes, train_tokenizers
from peer.parts.trial import faster_matmul
from peer.study import Study

# What each part needs, those with the most work behind them first.
SHARED = {
    "encoder": (train_encoder, ()),
    "text-lm": (train_language_model, ()),
    "tokenizers": (train_tokenizers, ("encoder",)),
    "codes": (make_codes, ("tokenizers",)),
    "samples": (make_samples, ()),
}
BEFORE_ROWS = ("text-lm", "codes", "samples")


def run_part(options, name):
    """In a worker process. -> (seconds, what the part says)"""
    torch.set_num_threads(options["threads"])
    started = time.perf_counter()
    study = Study(options)
    if name == "trial":
        said = faster_matmul(study)
    elif name in SHARED:
        said = SHARED[name][0](study)
    else:
        said = run_row(study, name)
    return time.perf_counter() - started, said


def main(options):
    needs = {name: needed for name, (_, needed) in SHARED.items()}
    needs.update({row: BEFORE_ROWS for row in options["order"]})
    seconds, scores, running = {}, {}, {}
    with ProcessPoolExecutor(options["jobs"], multiprocessing.get_context("fork")) as pool:
        seconds["trial"], options["matmul"] = pool.submit(run_part, options, "trial").result()
        while len(seconds) < len(needs) + 1:
            for name, needed in needs.items():
                is_started = name in seconds or name in running.values()
                if not is_started and len(running) < options["jobs"] and all(other in seconds for other in needed):
                    running[pool.submit(run_part, options, name)] = name
                    print(f"{name}: started", file=sys.stderr, flush=True)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                seconds[name], said = future.result()
                print(f"{name}: {seconds[name]:.1f} s {said or ''}", file=sys.stderr, flush=True)
                if name in options["order"]:
                    scores[name] = said
    return {"seconds": seconds, "scores": scores, "matmul": options["matmul"]}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
