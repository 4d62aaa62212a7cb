import { describe, expect, test } from "vitest";
import { TextTokenizer } from "./tokenizer.js";
import { requireTokenizerJson, type TokenizerStep } from "./tokenizer-json.js";

/** Letters, digits, spaces and the bytes of 🖥, ² and U+0085 as byte-level tokenizers spell them. */
const letters = ["</s>", "Ġ", "a", "1", "2", "ð", "Ł", "ĸ", "¥", "Â", "²", "ħ", "▁"];
const merges = [
  ["1", "2"],
  ["2", "Â"],
  ["a", "Â"],
  ["Ġ", "a"],
  ["▁", "a"],
  ["a", "▁"],
  ["ħ", "ð"],
];

/** The tokens of a text, split as `pre_tokenizer` says. */
function tokensOf(pre_tokenizer: TokenizerStep, text: string): string[] {
  const tokens = [...letters, ...merges.map(([left, right]) => left! + right!)];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const json = requireTokenizerJson({ pre_tokenizer, model: { type: "BPE", vocab, merges, unk_token: null } });
  return new TextTokenizer(json, { eos_token: "</s>" }).encode(text).map((id) => tokens[id]!);
}

const bytes = { type: "ByteLevel" };

describe("steps that the library takes otherwise than Hugging Face's tokenizers", () => {
  test.each<[string, TokenizerStep, string, string[]]>([
    ["a digit is any of Unicode's", { type: "Digits", individual_digits: true }, "122²", ["1", "2", "2", "Â", "²"]],
    ["digits together", { type: "Digits", individual_digits: false }, "a12a", ["a", "12", "a"]],
  ])("%s", (_, digits, text, expected) => {
    expect(tokensOf({ type: "Sequence", pretokenizers: [digits, bytes] }, text)).toEqual(expected);
  });

  test("U+0085 is white space", () => {
    expect(tokensOf(bytes, "\u0085🖥")).toEqual(["Â", "ħ", "ð", "Ł", "ĸ", "¥"]); // no merge of ħ and ð
  });

  test("a space is put before a text once, whatever characters it has", () => {
    expect(tokensOf({ ...bytes, add_prefix_space: true }, "a🖥a")).toEqual(["Ġa", "ð", "Ł", "ĸ", "¥", "a"]);
    expect(tokensOf({ ...bytes, add_prefix_space: true }, " a")).toEqual(["Ġa"]);
    expect(tokensOf({ ...bytes, add_prefix_space: true }, "")).toEqual([]);
  });

  test("Metaspace splits before its symbol unless told not to", () => {
    const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: "never" };
    expect(tokensOf({ ...metaspace, split: false }, "a ")).toEqual(["a▁"]);
    expect(tokensOf(metaspace, "a ")).toEqual(["a", "▁"]);
    expect(tokensOf(metaspace, "a a")).toEqual(["a", "▁a"]);
  });

  test("Metaspace's symbol is a character, whatever it is in a pattern", () => {
    const metaspace = { type: "Metaspace", replacement: "^", prepend_scheme: "never" };
    expect(tokensOf(metaspace, "a 1")).toEqual(["a", "1"]);
    expect(() => tokensOf({ ...metaspace, replacement: "(a+)+" }, "a")).toThrow(/replacement must be one character/);
  });

  test("what a replacement puts in place is a text", () => {
    const replaced = (content: string) => tokensOf({ type: "Replace", pattern: { String: "1" }, content }, "a1");
    expect(replaced("$&2")).toEqual(["a", "2"]); // "$" and "&" are no tokens
    expect(replaced("$`")).toEqual(["a"]);
  });
});

describe("steps that make much of little", () => {
  const replace = { type: "Replace", pattern: { String: "a" }, content: "aa" };
  const vocab = { a: 0, "</s>": 1 };
  test.each<[string, object]>([
    ["normalizer", { normalizer: { type: "Sequence", normalizers: Array(30).fill(replace) } }],
    ["normalizer", { normalizer: { type: "Prepend", prepend: "a".repeat(1e6) } }],
    ["decoder", { decoder: { type: "Sequence", decoders: Array(30).fill(replace) } }],
    ["decoder", { decoder: { type: "Replace", pattern: { Regex: "" }, content: "a".repeat(2000) } }],
  ])("%s %#", (name, change) => {
    expect(() => requireTokenizerJson({ ...change, model: { type: "BPE", vocab, merges: [] } })).toThrow(
      new RegExp(`${name} must be steps that make at most 1000 characters of one`),
    );
  });
});
