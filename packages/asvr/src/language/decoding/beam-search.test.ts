import { join } from "node:path";
import { manualSeed, memory, noGrad, openWeights, setThreads, tidy } from "@asvr/torch";
import { afterAll, expect, test } from "vitest";
import { loadLlava } from "../../checkpoints/llava.js";
import { embedWithFeatures } from "../../model/llava-parts.js";
import { LlamaForCausalLM } from "../llama.js";
import { Decoder } from "./decoder.js";
import { ask, embedIds, finish, shake, tinyLlama } from "./fixture.js";

setThreads(1); // test files run side by side
manualSeed(3);
const before = memory().tensors;
afterAll(() => expect(memory().tensors).toBe(before));

/** What transformers 5.24 generates (`num_beams`, `length_penalty`, `early_stopping`, `eos_token_id`) of the golden. */
const reference = [
  { numBeams: 2, stopIds: [2], maxNewTokens: 12, ids: [273, 102, 124, 164, 157, 65, 192, 195, 471, 375, 157, 65] },
  { numBeams: 3, stopIds: [2], maxNewTokens: 12, ids: [130, 220, 80, 20, 471, 220, 65, 192, 239, 240, 475, 192] },
  { numBeams: 4, stopIds: [20], maxNewTokens: 9, ids: [130, 220, 65, 215, 180, 220, 339, 138, 80] },
  { numBeams: 3, lengthPenalty: 0, stopIds: [20], maxNewTokens: 14, ids: [130, 220, 80, 20] },
  {
    ...{ numBeams: 3, lengthPenalty: 2, stopIds: [20], maxNewTokens: 14 },
    ids: [130, 220, 65, 215, 180, 220, 65, 192, 239, 240, 475, 25, 44, 192],
  },
  { numBeams: 3, lengthPenalty: -1, earlyStopping: true, stopIds: [20], maxNewTokens: 14, ids: [130, 220, 80, 20] },
  {
    ...{ numBeams: 4, earlyStopping: true, stopIds: [20], maxNewTokens: 10 },
    ids: [130, 220, 65, 215, 180, 220, 339, 138, 80, 363],
  },
  { numBeams: 5, stopIds: [65, 180, 215], maxNewTokens: 10, ids: [130, 220, 409, 192, 111, 233, 220, 339, 138, 80] },
];

test("finds what transformers finds, several searches side by side", () => {
  const numerics = join(import.meta.dirname, "..", "..", "..", "goldens", "numerics");
  using llava = loadLlava(join(numerics, "hf-llava-tiny"));
  using golden = openWeights(join(numerics, "c_llava.safetensors"));
  noGrad(() =>
    tidy(() => {
      const features = llava.imageFeatures(golden.tensor("generate/in/pixel_values")).flatten(0, 1);
      const ids = golden.tensor("generate/in/input_ids");
      const prompt = embedWithFeatures(llava.languageModel, ids, llava.config.imageTokenId, features);
      using decoder = new Decoder(llava.languageModel, { maxRunning: 12 });
      const answers = reference.map(({ ids: _, stopIds, maxNewTokens, ...beams }) =>
        ask(decoder, prompt, { stopIds, maxNewTokens, beams }),
      );
      finish(decoder);
      for (const [index, { ids: wanted, stopIds }] of reference.entries()) {
        const isStopped = stopIds.includes(wanted.at(-1)!);
        expect(answers[index]).toMatchObject({
          ids: isStopped ? wanted.slice(0, -1) : wanted,
          reason: isStopped ? "stop" : "length",
        });
      }
    }),
  );
});

test("as many beams as there are answers find the likeliest of all", () => {
  using language = new LlamaForCausalLM({ ...tinyLlama, vocabSize: 5 });
  shake(language);
  noGrad(() =>
    tidy(() => {
      using decoder = new Decoder(language);
      const best = ask(decoder, embedIds(language, [1, 2]), { maxNewTokens: 2, beams: { numBeams: 5 } });
      finish(decoder);
      const score = (ids: readonly number[]) => {
        const logits = language.logits(language.model.forward(embedIds(language, [1, 2, ...ids])));
        const logProbs = logits.logSoftmax(-1).squeeze(0);
        return ids.reduce(
          (sum, id, i) =>
            sum +
            logProbs
              .select(0, i + 1)
              .select(0, id)
              .item(),
          0,
        );
      };
      const all = Array.from({ length: 25 }, (_, i) => [Math.floor(i / 5), i % 5]);
      const scores = all.map(score);
      expect(best.ids).toEqual(all[scores.indexOf(Math.max(...scores))]);
    }),
  );
});
