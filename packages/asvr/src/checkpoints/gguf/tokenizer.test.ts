import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../errors.js";
import { pieceKinds, readSentencePieceModel } from "../../language/sentencepiece/model-proto.js";
import { TextTokenizer } from "../../language/tokenizer.js";
import { tokenizerFromGguf } from "./tokenizer.js";

const goldens = process.env.ASVR_GOLDENS ?? join(import.meta.dirname, "../../../goldens");
const tiny = join(goldens, "numerics/tokenizer-tiny");

/** As llama.cpp writes a SentencePiece model. */
function sentencePieceMetadata(): Map<string, unknown> {
  const { pieces } = readSentencePieceModel(readFileSync(join(tiny, "tokenizer.model")));
  return new Map<string, unknown>([
    ["tokenizer.ggml.model", "llama"],
    ["tokenizer.ggml.tokens", pieces.map(({ text }) => text)],
    ["tokenizer.ggml.scores", Float32Array.from(pieces.map(({ score }) => score))],
    ["tokenizer.ggml.token_type", pieces.map(({ kind }) => pieceKinds.indexOf(kind))],
    ["tokenizer.ggml.bos_token_id", 1],
    ["tokenizer.ggml.eos_token_id", 2],
    ["tokenizer.ggml.padding_token_id", 0],
  ]);
}

/** A byte-level vocabulary of a few letters. */
function byteLevelMetadata(pre: string): Map<string, unknown> {
  const letters = ["Ġ", "Ċ", "a", "b", "1", "2", "3", "4", "e", "é".normalize("NFC"), "Ã", "©", "Ì", "ģ"];
  return new Map<string, unknown>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", pre],
    ["tokenizer.ggml.tokens", ["<s>", "</s>", ...letters, "ab", "Ġab", "12", "123", "Ġabb", "<x>"]],
    ["tokenizer.ggml.token_type", [3, 3, ...letters.map(() => 1), 1, 1, 1, 1, 1, 4]],
    ["tokenizer.ggml.merges", ["a b", "Ġ ab", "1 2", "12 3"]],
    ["tokenizer.ggml.bos_token_id", 0],
    ["tokenizer.ggml.eos_token_id", 1],
  ]);
}

/** With a token that is spelt otherwise. */
function renamed(metadata: Map<string, unknown>, token: string, name: string): Map<string, unknown> {
  const tokens = metadata.get("tokenizer.ggml.tokens") as string[];
  return metadata.set(
    "tokenizer.ggml.tokens",
    tokens.map((own) => (own === token ? name : own)),
  );
}

const spelt = (metadata: Map<string, unknown>, text: string) => {
  const tokens = metadata.get("tokenizer.ggml.tokens") as string[];
  return tokenizerFromGguf(metadata)
    .encode(text, { addSpecialTokens: true })
    .map((id) => tokens[id]);
};

test("a SentencePiece vocabulary is the tokenizer.model that it was written from", () => {
  const file = tokenizerFromGguf(sentencePieceMetadata());
  const original = TextTokenizer.fromSentencePiece(readFileSync(join(tiny, "tokenizer.model")));
  const text = "the cat  sat</s> on <s>é 😀 a mat\n";
  expect(file.encode(text, { addSpecialTokens: true })).toEqual(original.encode(text, { addSpecialTokens: true }));
  expect(file.decode(file.encode(text))).toBe(original.decode(original.encode(text)));
  expect([file.bosId, file.eosId, file.padId]).toEqual([1, 2, 0]);
});

test("where no eos is named, a token of a known name ends answers", () => {
  const metadata = byteLevelMetadata("gpt-2");
  metadata.delete("tokenizer.ggml.eos_token_id");
  expect(tokenizerFromGguf(metadata).eosId).toBe(1);
});

test("bos and eos come where the file says", () => {
  const metadata = sentencePieceMetadata().set("tokenizer.ggml.add_bos_token", false);
  metadata.set("tokenizer.ggml.add_eos_token", true).set("tokenizer.ggml.add_space_prefix", false);
  const file = tokenizerFromGguf(metadata);
  expect(file.encode("", { addSpecialTokens: true })).toEqual([2]);
  expect(file.decode(file.encode(" a"))).toBe(" a");
});

describe("byte-level vocabularies split as their model does", () => {
  test.each([
    ["gpt-2", "ab ab1234<x>", ["ab", "Ġab", "123", "4", "<x>"]],
    ["smollm", "ab ab1234<x>", ["ab", "Ġab", "1", "2", "3", "4", "<x>"]],
    ["qwen2", "ab ab1234", ["ab", "Ġab", "1", "2", "3", "4"]],
    ["llama-bpe", "ab ab1234", ["<s>", "ab", "Ġab", "123", "4"]],
    ["llama-bpe", "a abb", ["<s>", "a", "Ġabb"]],
    ["gpt-2", "a abb", ["a", "Ġab", "b"]],
    ["qwen2", "e\u0301", ["Ã", "©"]],
    ["gpt-2", "e\u0301", ["e", "Ì", "ģ"]],
  ])("%s: %j", (pre, text, expected) => {
    expect(spelt(byteLevelMetadata(pre), text)).toEqual(expected);
  });
});

describe("metadata that cannot be used", () => {
  test.each<[string, (metadata: Map<string, unknown>) => unknown, string]>([
    ["another kind", (m) => m.set("tokenizer.ggml.model", "bert"), 'tokenizer.ggml.model is "bert"'],
    ["no kind", (m) => m.delete("tokenizer.ggml.model"), "tokenizer.ggml.model is missing"],
    ["another way of splitting", (m) => m.set("tokenizer.ggml.pre", "mine"), 'tokenizer.ggml.pre is "mine"'],
    ["a property of every object", (m) => m.set("tokenizer.ggml.pre", "toString"), 'tokenizer.ggml.pre is "toString"'],
    ["no tokens", (m) => m.delete("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens must be a list of texts"],
    ["numbers for tokens", (m) => m.set("tokenizer.ggml.tokens", [1, 2]), "it is a list of 2"],
    ["too few types", (m) => m.set("tokenizer.ggml.token_type", [1]), "one a token; it is a list of 1"],
    ["a type of none", (m) => m.set("tokenizer.ggml.token_type", Array(22).fill(7)), "token 0 is of the type 7"],
    ["a bos outside", (m) => m.set("tokenizer.ggml.bos_token_id", 99), "bos_token_id is 99, but there are 22 tokens"],
    ["a merge of no tokens", (m) => m.set("tokenizer.ggml.merges", ["q r"]), '"q" is none'],
    ["a merge of one", (m) => m.set("tokenizer.ggml.merges", ["ab"]), "must be two tokens"],
    ["no eos", (m) => renamed(m, "</s>", "</t>").delete("tokenizer.ggml.eos_token_id"), "no token ends an answer"],
  ])("%s", (_, change, message) => {
    const metadata = byteLevelMetadata("gpt-2");
    change(metadata);
    expect(() => tokenizerFromGguf(metadata)).toThrow(ConfigError);
    expect(() => tokenizerFromGguf(metadata)).toThrow(message);
  });

  test("scores that are missing", () => {
    const metadata = sentencePieceMetadata();
    metadata.delete("tokenizer.ggml.scores");
    expect(() => tokenizerFromGguf(metadata)).toThrow("tokenizer.ggml.scores must be 480 numbers");
    metadata.set("tokenizer.ggml.scores", Array(480).fill(0)).set("tokenizer.ggml.token_type", Array(480).fill(1));
    expect(() => tokenizerFromGguf(metadata)).toThrow("it has 0 unknown pieces");
  });
});
