import { expect, test } from "vitest";
import { TextTokenizer } from "../language/tokenizer.js";
import { buildTokenizer, buildTokenizerConfig } from "./tokenizer.js";
import { relatives, withWords } from "./vocabulary.js";

const base = buildTokenizer();
const tokenizerOf = (json: typeof base) => new TextTokenizer(json, buildTokenizerConfig());
const texts = ["<image>\nWhat colour is it? A Dog, dog.", "Ein Haus — größer", "is it 1995? is it?"];

test("new words are a token each, old ids stay, and every text comes back", () => {
  const extended = withWords(base, texts, 100);
  const [before, after] = [tokenizerOf(base), tokenizerOf(extended)];
  expect(extended.model.vocab).toMatchObject(base.model.vocab);
  expect(after.encode("any dog at top-left ?")).toEqual(before.encode("any dog at top-left ?"));
  for (const word of ["colour", "Haus", "größer", "1995"]) {
    expect(before.encode(word).length).toBeGreaterThan(1);
    expect(after.encode(word)).toHaveLength(1);
  }
  for (const text of texts) {
    const plain = text.replace("<image>", "");
    expect(after.decode(after.encode(plain))).toBe(plain);
  }
  expect(after.decode(after.encode("zebra"))).toBe("zebra"); // still byte by byte
});

test("the commonest come first where not all find a place; the same texts give the same ids", () => {
  const one = withWords(base, texts, 2);
  const words = Object.entries(one.model.vocab).slice(Object.keys(base.model.vocab).length);
  const size = Object.keys(base.model.vocab).length;
  expect(words).toEqual([
    [" is", size],
    [" it", size + 1],
  ]);
  expect(withWords(base, texts, 100)).toEqual(withWords(base, texts, 100));
});

test("a word that is known in another form starts from it", () => {
  const known = Object.keys(base.model.vocab).length;
  const { vocab } = withWords(base, ["What? Dog zebra", "dog?"], 100).model;
  expect(relatives(vocab, known)).toEqual(
    new Map([
      [vocab[" What"], vocab[" what"]],
      [vocab[" Dog"], vocab[" dog"]],
      [vocab["?"], vocab[" ?"]],
    ]),
  );
  expect(vocab[" zebra"]).toBeGreaterThanOrEqual(known);
});
