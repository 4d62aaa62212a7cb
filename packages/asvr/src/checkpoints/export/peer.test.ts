// What was exported, opened by transformers: the same token ids, pixels, logits and greedy answers.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { F, noGrad, readSafetensors, setThreads, tensor, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import sharp from "sharp";
import { afterAll, expect, test } from "vitest";
import { decodeImage } from "../../data/images.js";
import { packSamples } from "../../data/packing.js";
import { preprocess } from "../../data/preprocess.js";
import { Random } from "../../data/random.js";
import { testQuestion } from "../../evaluation/questions.js";
import { templates } from "../../language/conversation.js";
import { generate } from "../../language/generation.js";
import { ownPreprocessing } from "../../reproduce/parts/own-pictures.js";
import { untrainedRow } from "./fixture.js";
import { exportHuggingFace } from "./hf.js";
import { runAsLlava } from "./run-llava.js";
import { hubFiles } from "./source.js";

setThreads(1);
const python = process.env.PEER_PYTHON ?? "python3";
const needs = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ['transformers', 'torch', 'PIL'])))";
const hasTransformers = spawnSync(python, ["-c", needs]).status === 0;
const root = mkdtempSync(join(tmpdir(), "asvr-export-peer-"));
afterAll(() => rmSync(root, { recursive: true }));

const script = `
import json, sys, torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoProcessor, LlavaForConditionalGeneration
root = sys.argv[1]
folder = root + "/exported"
model, loading = LlavaForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), loading
model.eval()
processor = AutoProcessor.from_pretrained(folder)
found, answers = {}, []
for index, text in enumerate(json.load(open(root + "/questions.json"))):
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
    prompt = processor.apply_chat_template([message])
    inputs = processor(images=Image.open(f"{root}/{index}.png"), text=prompt, return_tensors="pt")
    with torch.no_grad():
        found[f"{index}/logits"] = model(**inputs).logits[0].contiguous()
        new = model.generate(**inputs, max_new_tokens=12)[0, inputs["input_ids"].shape[1]:]
    found[f"{index}/ids"] = inputs["input_ids"][0].contiguous()
    found[f"{index}/pixels"] = inputs["pixel_values"].contiguous()
    answers.append(processor.decode(new, skip_special_tokens=True))
save_file(found, root + "/found.safetensors")
print(json.dumps(answers))
`;

const questions = ["what at top-left ?", "digit at bottom-right ?\nwhere drum ?", "Ünknown wörds ▁ </s> and <s> more"];

// One configuration each, since the words of the test's name are all that a skipped test says.
test.skipIf(!hasTransformers).each(["micro", "v1"] as const)(
  "an exported run in transformers, template %s (needs PEER_PYTHON, a python with transformers)",
  async (template) => {
    using row = untrainedRow({ stages: { tuning: { template } } });
    const { recipe, tokenizer, model } = row;
    using llava = runAsLlava(row);
    const files = hubFiles(row, llava, row.words);
    rmSync(join(root, "exported"), { recursive: true, force: true });
    const source = { model: llava, files, tokenizer, head: null, [Symbol.dispose]() {} };
    await exportHuggingFace(source, join(root, "exported"));

    const { imageSize: size } = recipe.encoder;
    const random = new Random(1);
    const pixels: Float32Array[] = [];
    for (const index of questions.keys()) {
      const data = Uint8Array.from({ length: size * size * 3 }, () => random.int(256));
      const file = join(root, `${index}.png`);
      await sharp(data, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toFile(file);
      pixels.push(preprocess(await decodeImage(file), ownPreprocessing(recipe)));
    }
    writeFileSync(join(root, "questions.json"), JSON.stringify(questions));
    const made = spawnSync(python, ["-W", "ignore", "-c", script, root], { encoding: "utf8" });
    expect([made.status, made.status === 0 ? "" : made.stderr]).toEqual([0, ""]);
    const answers = JSON.parse(made.stdout) as string[];

    noGrad(() =>
      tidy(() => {
        const found = readSafetensors(join(root, "found.safetensors")).tensors;
        for (const [index, question] of questions.entries()) {
          const conversations = [
            { from: "human" as const, value: `<image>\n${question}` },
            { from: "gpt" as const, value: "" },
          ];
          const record = { id: "0", image: "0", conversations };
          const { prompt } = testQuestion(record, tokenizer, templates[template], (key) => ({ key }));
          const positions = llava.features.positions;
          const ids = [...prompt.inputIds].flatMap((id) => (id < 0 ? Array<number>(positions).fill(3) : [id]));
          expect([question, found.get(`${index}/ids`)!.toNumbers()]).toEqual([question, ids]);
          const seen = tensor(pixels[index]!, { shape: [1, 3, size, size] });
          expectClose(found.get(`${index}/pixels`)!, seen, { rtol: 0, atol: 1e-6 }, "pixels");
          const own = llava.logits(llava.forward(tensor([ids]).to("int64"), seen)).select(0, 0);
          expectClose(found.get(`${index}/logits`)!, own, { rtol: 0, atol: 1e-4 }, "logits");

          const states = row.parts.encoder.hiddenState(seen, recipe.encoder.selectLayer);
          const features = F.layerNorm(states, [recipe.encoder.hiddenSize]);
          const batch = packSamples([prompt], { capacity: ids.length, imageTokens: positions, compact: false });
          const options = { eosId: tokenizer.eosId, maxNewTokens: 12, device: "cpu" };
          const [answer] = generate(model, batch, features, options);
          expect(tokenizer.decode(answer!, { skipSpecialTokens: true })).toBe(answers[index]);
        }
      }),
    );
  },
  300_000,
);
