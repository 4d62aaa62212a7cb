import { Tokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { expect, test } from "vitest";
import { wordsOf } from "./language.js";
import { THINGS } from "./things.js";
import { buildTokenizer, buildTokenizerConfig, SPECIAL_TOKENS } from "./tokenizer.js";

const tokenizer = new Tokenizer(buildTokenizer(), buildTokenizerConfig());
const encode = (text: string) => tokenizer.encode(text, { add_special_tokens: false });
const roundTrip = (text: string) => tokenizer.decode(encode(text).ids);

test("is small, and its special tokens come first", () => {
  expect(tokenizer.get_vocab().size).toBeLessThan(400);
  expect(SPECIAL_TOKENS.map((token) => tokenizer.token_to_id(token))).toEqual([0, 1, 2, 3, 4]);
});

test.each(Object.values(THINGS))(
  "every word of the $name world is one token, at the start of a text, of a line and inside",
  (things) => {
    const own = new Tokenizer(buildTokenizer(things), buildTokenizerConfig());
    const tokens = (text: string) => own.encode(text, { add_special_tokens: false }).tokens;
    for (const word of wordsOf(things)) {
      expect(tokens(word)).toEqual([` ${word}`]);
      expect(tokens(`any ${word}`)).toEqual([" any", ` ${word}`]);
      expect(tokens(`any\n${word}`).slice(2)).toEqual([` ${word}`]);
    }
  },
);

test("a LLaVA prompt costs one token a word", () => {
  const { tokens } = tokenizer.encode("USER: <image>\nwhat at top-left ? ASSISTANT: dog</s>");
  expect(tokens.join("|")).toBe("<s>| USER:| |<image>| |<0x0A>| what| at| top-left| ?| ASSISTANT:| dog|</s>");
});

test.each([
  "what at top-left ?",
  "any dog?\nno, but  two\n\n cats\t!",
  " leading and trailing ",
  "\n",
  "\r\n \n  x",
  "grüße, 東京 한국 👩‍🚀🐕\u200d \u2581▁",
  "dogs USER:x <0x41> don't .",
])("decodes back exactly: %j", (text) => {
  expect(encode(text).tokens).not.toContain("<unk>");
  expect(roundTrip(text)).toBe(text);
});

test("any text decodes back exactly", () => {
  const lost = [...SPECIAL_TOKENS, "\ufeff"]; // the library's own byte decoder drops a byte order mark
  const text = fc
    .string({ unit: "binary", minLength: 1 })
    .filter((value) => !lost.some((token) => value.includes(token)));
  fc.assert(
    fc.property(text, (value) => roundTrip(value) === value),
    { numRuns: 500 },
  );
});
