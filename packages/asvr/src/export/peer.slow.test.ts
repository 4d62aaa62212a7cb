// What was exported, opened by transformers: the same token ids, pixels, logits and greedy answers.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { F, noGrad, readSafetensors, setThreads, tensor, tidy } from "@asvr/torch";
import { expectClose } from "@asvr/torch/testing";
import sharp from "sharp";
import { afterAll, expect, test } from "vitest";
import { decodeImage } from "../data/images.js";
import { packSamples } from "../data/packing.js";
import { preprocess } from "../data/preprocess.js";
import { testQuestion } from "../evaluation/questions.js";
import { templates } from "../language/conversation.js";
import { generate } from "../model/generation.js";
import { ownPreprocessing } from "../parts/own-pictures.js";
import { Random } from "../random.js";
import { untrainedRow } from "./fixture.js";
import { exportHuggingFace } from "./hf.js";
import { usage } from "./model-card.js";
import { newest, oldest, runPython } from "./peers.fixture.js";
import { runAsLlava } from "./run-llava.js";
import { hubFiles } from "./source.js";

setThreads(1);
const root = mkdtempSync(join(tmpdir(), "asvr-export-peer-"));
afterAll(() => rmSync(root, { recursive: true }));

// The model card's own lines, for each question; then all of them at once.
const script = `
import json, sys, torch
from PIL import Image
from safetensors.torch import save_file
root = sys.argv[1]
questions = json.load(open(root + "/questions.json"))
pictures = [Image.open(f"{root}/{index}.png") for index in range(len(questions))]
folder, found, answers, prompts = root + "/exported", {}, [], []
for index, (question, picture) in enumerate(zip(questions, pictures)):
    exec(sys.argv[2])
    answers.append(answer)
    prompts.append(prompt)
    found[f"{index}/ids"] = inputs["input_ids"][0].contiguous()
    found[f"{index}/pixels"] = inputs["pixel_values"].contiguous()
    with torch.no_grad():
        found[f"{index}/logits"] = model(**inputs).logits[0].contiguous()
_, loading = LlavaForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), loading
inputs = processor(images=pictures, text=prompts, padding=True, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=16)[:, inputs["input_ids"].shape[1]:]
save_file(found, root + "/found.safetensors")
print(json.dumps([answers, processor.batch_decode(made, skip_special_tokens=True)]))
`;

const questions = ["what at top-left ?", "digit at bottom-right ?\nwhere drum ?", "Ünknown wörds ▁ </s> and <s> more"];

const cases = [newest, oldest].flatMap((peer) => (["micro", "v1"] as const).map((template) => ({ ...peer, template })));
for (const { name, python, template } of cases) {
  test.skipIf(python === undefined)(
    `an exported run, template ${template}, in ${name}`,
    async () => {
      using row = untrainedRow({ stages: { tuning: { template } } });
      const { recipe, tokenizer, model } = row;
      using llava = runAsLlava(row);
      const files = hubFiles(row, llava, row.words);
      rmSync(join(root, "exported"), { recursive: true, force: true });
      const preprocessing = () => ownPreprocessing(recipe);
      const source = { model: llava, files, tokenizer, preprocessing, head: null, [Symbol.dispose]() {} };
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
      const [answers, together] = JSON.parse(runPython(python!, script, [root, usage])) as [string[], string[]];
      expect(together).toEqual(answers);

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
            const options = { eosId: tokenizer.eosId, maxNewTokens: 16, device: "cpu" };
            const [answer] = generate(model, batch, features, options);
            expect(tokenizer.decode(answer!, { skipSpecialTokens: true })).toBe(answers[index]);
          }
        }),
      );
    },
    300_000,
  );
}
