import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory, noGrad, setThreads, tensor, tidy } from "@asvr/torch";
import { afterAll, afterEach, expect, test } from "vitest";
import { preprocess } from "../data/preprocess.js";
import { sourceOf, untrainedRow } from "../export/fixture.js";
import { exportGguf } from "../export/gguf.js";
import { hubSource } from "../export/source.js";
import type { Llava } from "../model/llava.js";
import { ownPreprocessing } from "../parts/own-pictures.js";
import type { TrainedRow } from "../parts/trained-row.js";
import { noise, tinyFolder, userSays } from "./fixture.js";
import type { LlavaChat } from "./llava-chat.js";
import { openChatModel } from "./open.js";
import { RunChat } from "./run-chat.js";

setThreads(1);
const root = mkdtempSync(join(tmpdir(), "asvr-open-gguf-"));
afterAll(() => rmSync(root, { recursive: true }));
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

test.each(["micro", "v1"] as const)(
  "a run's GGUF reads the words and sees the pictures of the run: %s",
  async (template) => {
    using row = untrainedRow({ stages: { tuning: { template } } });
    using source = sourceOf(row);
    const out = join(root, template);
    await exportGguf(source, out, { name: template, type: "F32" });
    const { positions } = (source.model as Llava).features;
    const run = new RunChat("run", { ...row, imageTokens: positions } as unknown as TrainedRow);
    using model = await openChatModel(out);
    const picture = noise(1, 64, 64);
    for (const text of ["what at top-left ?", "digit at bottom-right ?\nwhere drum ?", "drumsticks, Ünknown wörds ▁"]) {
      const said = userSays(text, picture);
      const talk = [
        ...said,
        { role: "assistant" as const, content: "drum" },
        { role: "user" as const, content: "sure ?" },
      ];
      for (const messages of [said, talk, userSays(text)]) {
        const wanted = run.prompt(messages).inputIds.map((id) => (id === run.imageTokenId ? model.imageTokenId : id));
        const shown = (ids: readonly number[]) => ids.map((id) => [id, model.tokenizer.decode([id])]);
        expect([text, shown(model.prompt(messages).inputIds)]).toEqual([text, shown(wanted)]);
      }
    }
    const { llava, preprocessing } = (model as LlavaChat).parts;
    const own = ownPreprocessing(row.recipe);
    expect([preprocessing.size, preprocessing.mode]).toEqual([own.size, own.mode]);
    noGrad(() =>
      tidy(() => {
        const pixels = tensor(preprocess(picture, own), { shape: [1, 3, own.size, own.size] });
        const [seen, wanted] = [llava, source.model].map((whole) => (whole as Llava).imageFeatures(pixels));
        expect(seen!.sub(wanted!).abs().amax().item()).toBeLessThan(1e-3);
        expect(model.see(picture).sub(wanted!.select(0, 0)).abs().amax().item()).toBeLessThan(1e-3);
      }),
    );
    expect(model.stopIds).toEqual([row.tokenizer.eosId]);
  },
);

test("a LLaVA's GGUF is the LLaVA that it was written from; without its mmproj the language model alone", async () => {
  using source = await hubSource(tinyFolder);
  const out = join(root, "tiny");
  await exportGguf(source, out, { name: "tiny", type: "F32" });
  using model = await openChatModel(join(out, "language-F32.gguf"), { template: "vicuna" });
  using original = await openChatModel(tinyFolder);
  const picture = noise(2, 60, 40);
  const messages = userSays("Which is the cat?", picture);
  // As in llama.cpp, a space is put after a picture, too: the folder's own tokenizer puts none.
  const said = (ids: readonly number[]) => ids.filter((id) => id !== model.tokenizer.tokenId("▁"));
  expect(said(model.prompt(messages).inputIds)).toEqual(said(original.prompt(messages).inputIds));
  const difference = noGrad(() => tidy(() => model.see(picture).sub(original.see(picture)).abs().amax().item()));
  expect(difference).toBeLessThan(1e-3);

  mkdirSync(join(root, "alone"));
  copyFileSync(join(out, "language-F32.gguf"), join(root, "alone", "words.gguf"));
  using alone = await openChatModel(join(root, "alone"), { template: "vicuna" });
  expect(() => alone.prompt(messages)).toThrow(/reads no pictures/);
});
