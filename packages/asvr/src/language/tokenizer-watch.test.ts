import { expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { SentencePieceEngine } from "./sentencepiece/engine.js";
import { SentencePieceProcessor } from "./sentencepiece/processor.js";
import { TokenizerWatch } from "./tokenizer-watch.js";

/** A SentencePiece model that knows a letter as often as every number up to `longest`. */
function pieces(longest: number, kind: "unigram" | "bpe" = "unigram") {
  const normalizer = {
    ...{ charsMap: new Uint8Array(0), addDummyPrefix: false, removeExtraWhitespaces: false, escapeWhitespaces: true },
  };
  const letters = Array.from({ length: longest }, (_, index) => ({
    ...{ text: "a".repeat(index + 1), score: index, kind: "normal" as const },
  }));
  const unknown = { text: "<unk>", score: 0, kind: "unknown" as const };
  const model = { pieces: [unknown, ...letters], kind, byteFallback: false, whitespaceAsSuffix: false, normalizer };
  return new SentencePieceEngine(new SentencePieceProcessor(model), {
    ...{ addedTokens: [], legacy: true, addPrefixSpace: false, unknownToken: "<unk>" },
    ...{ namedIds: [], startIds: [], endIds: [] },
  });
}

test("pieces of thousands of lengths are refused, of hundreds watched", () => {
  expect(() => pieces(3000)).toThrow(/a token is \d+ characters long, beginning with "aaaa/);
  const engine = pieces(500);
  expect(engine.encode("a".repeat(400), false)).toHaveLength(1);
  const start = performance.now();
  expect(() => engine.encode("a".repeat(200_000), false)).toThrow(/of length 200000; .*pieces of up to 500 characters/);
  expect(performance.now() - start).toBeLessThan(30_000);
});

test("a long text is watched in any case, and has time for each of its characters", () => {
  const watch = new TokenizerWatch([]);
  const forever = () => {
    for (;;);
  };
  expect(() => watch.run("a".repeat(1000), forever)).toThrow(ConfigError);
  expect(() => watch.run("a".repeat(1000), forever)).toThrow("it takes longer than 2 s to tokenize an input of length");
  const busy = () => {
    for (const end = performance.now() + 2500; performance.now() < end; );
    return 7;
  };
  expect(watch.run("a".repeat(500_000), busy)).toBe(7);
});

test("an error in the work is that error", () => {
  const broken = () => {
    throw new TypeError("broken");
  };
  expect(() => new TokenizerWatch(["a pattern"]).run("a", broken)).toThrow(TypeError);
});
