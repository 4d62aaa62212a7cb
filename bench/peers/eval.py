"""The peer's side of `eval`: Hugging Face transformers answers questions about pictures, one at a time."""

import json
import sys
import time

import torch
from transformers import LlavaForConditionalGeneration

options = json.loads(sys.argv[1])
torch.set_num_threads(options["threads"])
model = LlavaForConditionalGeneration.from_pretrained(options["folder"], dtype=torch.float32).eval()
side, questions, tokens = options["pictureSize"], options["questions"], options["tokens"]


def pixels(picture):
    """A picture as the tower takes it: its decoding costs the peer nothing."""
    values = torch.arange(3 * side * side) * (31 + 2 * picture) % 256
    return (values.view(1, side, side, 3).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5


def answer(ids, pixel_values):
    ids = torch.tensor([ids])
    said = model.generate(
        input_ids=ids,
        pixel_values=pixel_values,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=tokens,
    )
    return said[0, ids.shape[1] :].tolist()


answer_ids = []
with torch.inference_mode():
    pictures = [pixels(picture) for picture in range(options["pictures"])]
    started, cpu_started = time.perf_counter(), time.process_time()
    for number, ids in enumerate(options["promptIds"]):
        answer_ids.append(answer(ids, pictures[number // questions]))
    spent = {"seconds": time.perf_counter() - started, "cpuSeconds": time.process_time() - cpu_started}
print(json.dumps({**spent, "answerIds": answer_ids}), flush=True)
