import { manualSeed, memory, nn, noGrad, setThreads, tidy } from "@asvr/torch";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { ConfigError } from "../../errors.js";
import { type LlamaConfig, LlamaForCausalLM } from "../llama.js";
import { Decoder } from "./decoder.js";
import { ask, embedIds, finish, greedyAlone, shake, tinyLlama } from "./fixture.js";

setThreads(1); // test files run side by side
manualSeed(7);
const before = memory().tensors;
const variants: Record<string, LlamaConfig> = {
  plain: tinyLlama,
  windows: { ...tinyLlama, slidingWindows: [4, null, 3] },
  llama3: {
    ...tinyLlama,
    ropeScaling: { kind: "llama3", factor: 4, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8 },
  },
};
const models = Object.fromEntries(
  Object.entries(variants).map(([name, config]) => {
    const model = new LlamaForCausalLM(config);
    shake(model);
    return [name, model];
  }),
);
const plain = models.plain!;
afterAll(() => {
  for (const model of Object.values(models)) model.dispose();
  expect(memory().tensors).toBe(before);
});

const prompt = fc.array(fc.integer({ min: 0, max: tinyLlama.vocabSize - 1 }), { minLength: 1, maxLength: 11 });
const request = fc.record({ ids: prompt, count: fc.integer({ min: 1, max: 7 }), joinsAt: fc.nat({ max: 5 }) });

test.each(Object.keys(variants))(
  "%s: whoever else is in the batch, a request gets the tokens it gets alone",
  (name) => {
    const language = models[name]!;
    fc.assert(
      fc.property(
        fc.array(request, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 9 }),
        (requests, maxRunning, maxPromptTokens) => {
          noGrad(() =>
            tidy(() => {
              using decoder = new Decoder(language, { maxRunning, maxPromptTokens });
              const answers = requests.map(() => undefined as ReturnType<typeof ask> | undefined);
              for (let step = 0; step <= 5 || decoder.pending > 0; step++) {
                for (const [index, { ids, count, joinsAt }] of requests.entries()) {
                  if (joinsAt !== step) continue;
                  answers[index] = ask(decoder, embedIds(language, ids), { maxNewTokens: count });
                }
                decoder.step();
              }
              for (const [index, { ids, count }] of requests.entries()) {
                expect(answers[index]!.ids).toEqual(greedyAlone(language, ids, count));
                expect(answers[index]!.reason).toBe("length");
              }
            }),
          );
        },
      ),
      { numRuns: 25 },
    );
  },
);

test("dynamic frequencies follow each sequence's own length", () => {
  using language = new LlamaForCausalLM({
    ...tinyLlama,
    ropeScaling: { kind: "dynamic", factor: 3, originalLength: 6 },
  });
  shake(language);
  noGrad(() =>
    tidy(() => {
      const long = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
      const [alone, together] = [new Decoder(language), new Decoder(language)];
      const wanted = [long, [5, 4]].map((ids) => {
        const answer = ask(alone, embedIds(language, ids), { maxNewTokens: 9 });
        finish(alone);
        return answer.ids;
      });
      expect(wanted[0]!.slice(0, 1)).toEqual(greedyAlone(language, long, 1));
      const answers = [long, [5, 4]].map((ids) => ask(together, embedIds(language, ids), { maxNewTokens: 9 }));
      finish(together);
      expect(answers.map(({ ids }) => ids)).toEqual(wanted);
      for (const decoder of [alone, together]) decoder[Symbol.dispose]();
    }),
  );
});

test.each(["bfloat16", "float16", "float64"] as const)("%s: keys of every head's own, and shared ones", (dtype) => {
  for (const numKeyValueHeads of [6, 2]) {
    using language = nn.creating({ dtype }, () => new LlamaForCausalLM({ ...tinyLlama, numKeyValueHeads }));
    noGrad(() =>
      tidy(() => {
        using decoder = new Decoder(language);
        const prompt = embedIds(language, [1, 2, 3, 4, 5]);
        const answer = ask(decoder, prompt, { maxNewTokens: 6, logProbs: true });
        ask(decoder, embedIds(language, [9, 1]), { maxNewTokens: 3 });
        finish(decoder);
        // In one pass: as near as the dtype is.
        const whole = language.logits(language.model.forward(embedIds(language, [1, 2, 3, 4, 5, ...answer.ids])));
        const logProbs = whole.to("float32").logSoftmax(-1).squeeze(0);
        for (const [index, id] of answer.ids.entries()) {
          const wanted = logProbs
            .select(0, 4 + index)
            .select(0, id)
            .item();
          expect(Math.abs(answer.logProbs[index]! - wanted)).toBeLessThan(dtype === "float64" ? 1e-5 : 0.02);
        }
      }),
    );
  }
});

test("a stop token ends an answer and is no part of it; a listener ends one too", () => {
  tidy(() => {
    using decoder = new Decoder(plain);
    const ids = [3, 1, 4, 1, 5];
    const whole = noGrad(() => greedyAlone(plain, ids, 6));
    const stop = whole[3]!;
    const cut = whole.slice(0, whole.indexOf(stop));
    const byToken = ask(decoder, embedIds(plain, ids), { maxNewTokens: 6, stopIds: [stop] });
    const byListener = ask(decoder, embedIds(plain, ids), { maxNewTokens: 6 }, (seen) => seen.length === 2);
    finish(decoder);
    expect(byToken).toMatchObject({ ids: cut, reason: "stop" });
    expect(byListener).toMatchObject({ ids: whole.slice(0, 2), reason: "stop" });
  });
});

test("a cancelled request frees its memory and leaves the others alone", () => {
  tidy(() => {
    using decoder = new Decoder(plain, { maxRunning: 2 });
    const held = memory().tensors;
    const listener = { token: () => true, ended: () => {} };
    const prompt = embedIds(plain, [1, 2, 3]);
    const [running, other, waiting] = [0, 1, 2].map(() => decoder.add(prompt, { maxNewTokens: 50 }, listener));
    decoder.step();
    expect([decoder.pending, decoder.waiting]).toEqual([3, 1]);
    for (const decoding of [waiting!, running!, other!]) decoding.cancel();
    running!.cancel(); // twice does nothing
    expect(decoder.pending).toBe(0);
    expect(decoder.step()).toBe(false);
    prompt.dispose();
    expect(memory().tensors).toBe(held + 2); // the table of angles
  });
});

test("a shared beginning is read once", () => {
  noGrad(() =>
    tidy(() => {
      using decoder = new Decoder(plain, { maxPromptTokens: 3 });
      const shared = [7, 3, 9, 9, 2, 5, 11];
      using prefix = decoder.prefill(embedIds(plain, shared));
      const rests = [[4], [8, 8, 1]];
      const answers = rests.map((rest) => {
        return ask(decoder, embedIds(plain, rest), { maxNewTokens: 5 }, undefined, prefix.fork());
      });
      finish(decoder);
      expect(answers.map(({ ids }) => ids)).toEqual(rests.map((rest) => greedyAlone(plain, [...shared, ...rest], 5)));
    }),
  );
});

test("drawn tokens depend on the seed alone; log-probabilities are those of the model", () => {
  noGrad(() =>
    tidy(() => {
      using decoder = new Decoder(plain);
      const options = { maxNewTokens: 12, temperature: 1.5, logProbs: true };
      const draw = (seed: number) => ask(decoder, embedIds(plain, [2, 7]), { ...options, seed });
      const first = draw(5);
      finish(decoder);
      const [again, other] = [draw(5), draw(6)];
      finish(decoder);
      expect(again.ids).toEqual(first.ids);
      expect(other.ids).not.toEqual(first.ids);
      const states = plain.model.forward(embedIds(plain, [2, 7, ...first.ids]));
      const wanted = plain.logits(states).logSoftmax(-1).squeeze(0);
      for (const [index, id] of first.ids.entries()) {
        expect(first.logProbs[index]).toBeCloseTo(
          wanted
            .select(0, index + 1)
            .select(0, id)
            .item(),
          4,
        );
      }
    }),
  );
});

test("options that say nothing are refused, with their values", () => {
  tidy(() => {
    using decoder = new Decoder(plain);
    const bad = [
      [{ maxNewTokens: 0 }, /maxNewTokens is 0/],
      [{ maxNewTokens: 1, temperature: -1 }, /temperature is -1/],
      [{ maxNewTokens: 1, topP: 2 }, /topP is 2/],
      [{ maxNewTokens: 1, topK: 1.5 }, /topK is 1.5/],
      [{ maxNewTokens: 1, beams: { numBeams: 65 } }, /numBeams is 65/],
      [{ maxNewTokens: 1, temperature: 1, beams: { numBeams: 2 } }, /beams with a temperature/],
    ] as const;
    for (const [options, message] of bad) {
      expect(() => ask(decoder, embedIds(plain, [1]), options)).toThrow(ConfigError);
      expect(() => ask(decoder, embedIds(plain, [1]), options)).toThrow(message);
    }
    expect(decoder.pending).toBe(0);
  });
});
