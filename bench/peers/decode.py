"""The peer's side of `decode`: Hugging Face transformers answers a question about a picture."""

import json
import resource
import sys
import time

import torch
from transformers import LlavaForConditionalGeneration
from transformers.generation.streamers import BaseStreamer

options = json.loads(sys.argv[1])
torch.set_num_threads(options["threads"])


class Clock(BaseStreamer):
    """The times at which tokens come; the first call is the prompt."""

    def __init__(self):
        self.times = []

    def put(self, value):
        self.times.append(time.perf_counter())

    def end(self):
        pass


began = time.perf_counter()
model = LlavaForConditionalGeneration.from_pretrained(options["folder"], dtype=torch.bfloat16).eval()
opened = time.perf_counter()
ids = torch.tensor([options["promptIds"]])
side = options["pictureSize"]
picture = (torch.arange(3 * side * side) * 31 % 256).view(1, side, side, 3).permute(0, 3, 1, 2)
pixels = ((picture / 255 - 0.5) / 0.5).to(torch.bfloat16)
with torch.inference_mode():
    asked = time.perf_counter()
    clock = Clock()
    count = options["tokens"]
    result = model.generate(
        input_ids=ids,
        pixel_values=pixels,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=count,
        min_new_tokens=count,
        eos_token_id=None,
        streamer=clock,
        output_logits=True,
        return_dict_in_generate=True,
    )
times = clock.times[1:]
seconds = {
    "open": opened - began,
    "first token": times[0] - asked,
    "token": (times[-1] - times[0]) / (len(times) - 1),
}
first = result.logits[0][0].float().log_softmax(-1).max().item()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
answer = {"promptIds": options["promptIds"], "seconds": seconds, "firstLogProb": first, "peakBytes": peak}
print(json.dumps(answer), flush=True)
