import { expect, test } from "vitest";
import { TextTokenizer } from "../../language/tokenizer.js";
import { openGguf } from "./file.js";
import { smollm2File } from "./smollm2-file.js";
import { ggufTokenizerFiles, tokenizerFromGguf } from "./tokenizer.js";

const texts = [
  "what is at top-left ?",
  "owl on red , digit 4",
  "<|im_start|>user\nÜber 1234 🦉<|im_end|>",
  " a  b\n\nc",
];

test.skipIf(!smollm2File())("a GGUF's vocabulary as tokenizer.json: the same ids, and a token more", () => {
  using file = openGguf(smollm2File()!);
  const own = tokenizerFromGguf(file.metadata);
  const { json, config } = ggufTokenizerFiles(file.metadata, ["<image>"]);
  const written = new TextTokenizer(JSON.parse(JSON.stringify(json)), config);
  for (const text of texts) expect(written.encode(text)).toEqual(own.encode(text));
  expect(written.tokenId("<image>")).toBe(own.vocabSize);
  expect(written.encode("a<image>b")).toEqual([...own.encode("a"), own.vocabSize, ...own.encode("b")]);
  expect([written.bosId, written.eosId]).toEqual([own.bosId, own.eosId]);
});

test("other vocabularies are refused by name", () => {
  expect(() => ggufTokenizerFiles(new Map([["tokenizer.ggml.model", "llama"]]))).toThrow(/model is "llama".*gpt2/);
});
